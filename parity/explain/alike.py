"""Whether one program was written after the other: the same arithmetic in nearly the same order.

Then nearly all of their values have equal bits, and the few operations that haven't are what
differs: the search by bits names them, in float64 where the formula differs, in the programs' own
dtypes where only the rounding does. Two programs that were written apart round nearly everywhere,
and to blame a statement for that would be an accusation.
"""

from __future__ import annotations

import difflib

from parity.explain.graph import Graph

# Programs of one hand have 0.86 to 0.96 in common where a fault or a rewrite lies between them;
# 43 ports by two hands have 0.01 to 0.81.
_ALIKE = 0.85
_FEW = 8
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
