"""Whether one program was written after the other: the same arithmetic in nearly the same order.

Then nearly all of their values have equal bits, and the few operations that haven't are what
differs: the search by bits names them, in float64 where the formula differs, in the programs' own
dtypes where only the rounding does. Two programs that were written apart round nearly everywhere,
and to blame a statement for that would be an accusation.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from parity.explain.fingerprint import TELLING
from parity.explain.graph import Graph

# Programs of one hand have 0.86 to 0.96 in common where a fault or a rewrite lies between them;
# 43 ports by two hands have 0.01 to 0.81.
_ALIKE = 0.85
_FEW = 8
# Of the values that they have in common as numbers, how many have equal bits.
_EQUAL = 0.9
# By how many units in the last place of the greatest element another order of sums moves one.
_ULPS = 4
_LARGEST = 1 << 18
# Statements that round elsewhere: as many are a rewrite still, and this share of all arithmetic.
_STATEMENTS = 2
_SHARE = 0.2
# They move and choose elements; how often depends on style alone.
_STYLE = frozenset(
    (
        *("reshape", "transpose", "broadcast_in_dim", "squeeze", "convert_element_type", "slice"),
        *("copy", "concatenate", "split", "stop_gradient", "iota", "select_n", "eq", "lt", "le"),
        *("gt", "ge", "and", "or"),
    )
)


def alike(ours: Graph, reference: Graph) -> bool:
    """The share of both programs' arithmetic that stands in the same order, by name and size."""
    own, theirs = _arithmetic(ours), _arithmetic(reference)
    return difflib.SequenceMatcher(None, own, theirs, autojunk=False).ratio() >= _ALIKE


def few(ours: Graph, reference: Graph) -> bool:
    """So few operations that the two can't be said to round nearly everywhere."""
    return max(len(_arithmetic(ours)), len(_arithmetic(reference))) <= _FEW


def _arithmetic(graph: Graph) -> list[tuple[str, int]]:
    return [
        (n.operation, n.outputs[0].array.size) for n in graph.nodes if n.operation not in _STYLE
    ]


def scattered(statements: int, ours: Graph) -> bool:
    """So many statements round elsewhere that neither program was written after the other."""
    return statements > _STATEMENTS and statements > _SHARE * len(_arithmetic(ours))


def rounding_alike(ours: Graph, reference: Graph) -> bool:
    """Whether nearly all that the two compute alike has equal bits, in their own dtypes.

    Where one was written after the other, what differs comes after a fault, and is another number.
    """
    equal = near = 0
    theirs: dict[int, list[np.ndarray]] = {}
    for array in _computed(reference):
        theirs.setdefault(array.size, []).append(array)
    for own in _computed(ours):
        others = theirs.get(own.size, [])
        if any(np.array_equal(own, other) for other in others):
            equal += 1
        elif any(_near(own, other) for other in others):
            near += 1
    return equal >= _EQUAL * (equal + near)


def _computed(graph: Graph) -> Iterator[np.ndarray]:
    """Sorted elements of what arithmetic made, in its own dtype."""
    for node in graph.nodes:
        array = node.outputs[0].array
        counts = node.operation not in _STYLE and TELLING <= array.size <= _LARGEST
        if counts and jnp.issubdtype(array.dtype, jnp.floating):
            yield np.sort(np.asarray(array), axis=None)


def _near(own: np.ndarray, other: np.ndarray) -> bool:
    if own.dtype != other.dtype:
        return False
    one, two = own.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(two)):
        return False
    one, two = one[finite], two[finite]
    unit = float(jnp.finfo(own.dtype).eps) * np.abs(two).max(initial=0)
    return bool(np.abs(one - two).max(initial=0) <= _ULPS * unit)
