"""Single edits of a program's operations: what one might have written instead.

An edit that makes a wrong value the other program's, to many digits, says which operation is at
fault, and what is wrong with it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from parity.explain.constants import is_neat, roughness, solved_constants, solved_insertions
from parity.explain.edit import Change, Edit, Run
from parity.explain.exchanges import exchanges, swaps
from parity.explain.graph import Node
from parity.explain.insertions import insertions
from parity.explain.operands import Operands
from parity.explain.statements import PARTS
from parity.explain.trial import Trial
from parity.program.host import on_host

# An operation -> those that are easily written in its place.
_SIBLINGS: dict[str, tuple[str, ...]] = {
    "add": ("sub", "mul", "max"),
    "sub": ("add", "mul"),
    "mul": ("div", "add"),
    "div": ("mul", "sub"),
    "max": ("min", "add"),
    "min": ("max",),
    "sin": ("cos",),
    "cos": ("sin",),
    "tanh": ("logistic", "erf"),
    "logistic": ("tanh",),
    "exp": ("exp2", "expm1"),
    "exp2": ("exp",),
    "log": ("log1p",),
    "log1p": ("log",),
    "sqrt": ("rsqrt", "square"),
    "rsqrt": ("sqrt",),
    "gt": ("ge", "lt", "le"),
    "ge": ("gt", "le", "lt"),
    "lt": ("le", "gt", "ge"),
    "le": ("lt", "ge", "gt"),
    "and": ("or",),
    "or": ("and",),
    "floor": ("round", "ceil"),
    "ceil": ("floor", "round"),
    "round": ("floor", "ceil"),
    "reduce_sum": ("reduce_max",),
    "reduce_max": ("reduce_sum", "reduce_min"),
    "reduce_min": ("reduce_max",),
    "cumsum": ("cumprod", "cummax"),
}
_SIGNS = ("with sub for add", "with add for sub", "with the other sign")
_ORDERED = frozenset(("sub", "div", "pow", "gt", "ge", "lt", "le", "concatenate", "atan2", "rem"))
_ALONG: list[tuple[str, Callable[..., Any]]] = [
    ("divided by its sum", lambda a, axis: a / a.sum(axis, keepdims=True)),
    ("less its mean", lambda a, axis: a - a.mean(axis, keepdims=True)),
    ("in reverse", lambda a, axis: np.flip(a, axis)),
]
_SUMS = frozenset(("dot_general", "conv_general_dilated"))
_AXES = frozenset(("reduce_sum", "reduce_max", "reduce_min", "argmax", "argmin"))
_ONE_AXIS = frozenset(("cumsum", "cumprod", "cummax", "cumlogsumexp"))


def repairing(trial: Trial, operands: Operands) -> Edit | None:
    """The edit of the trial's operations after which its value is the wanted array.

    Args:
      operands: what may be read in place of a value of ours, or combined with it.
    """
    return changing(trial, operands) or inserting(trial, operands)


def changing(trial: Trial, operands: Operands) -> Edit | None:
    """An edit of what is there: another operation, number, axis or operand."""
    groups = _groups(trial.cone.nodes)
    # Without an operation on a number it may be nearly right: 1e-12 for no epsilon.
    plain = [g for g in groups if not any(v.array.size == 1 for v in g[0].inputs)]
    edits = itertools.chain(
        _changed(groups, lambda nodes: [*_edits(nodes[0]), *(_bypassed(nodes, plain))]),
        swaps(trial.cone, operands),
        exchanges(trial.cone, operands),
    )
    found = trial.first(edits)
    if found is not None:
        return _turned(found, trial, groups) or found
    solved = [edit for nodes in groups for edit in solved_constants(trial, nodes)]
    neat = [edit for edit in solved if is_neat(edit, operands.scalars)]
    if neat:
        return min(neat, key=roughness)
    return trial.first(_changed(groups, lambda nodes: _without(nodes[0])))


def _turned(found: Edit, trial: Trial, groups: Sequence[Sequence[Node]]) -> Edit | None:
    """A difference taken the wrong way round, where another sign repairs as well.

    That is the commoner slip: an offset of key and query, say, rather than what is added by it.
    """
    if not found.words.endswith(_SIGNS):
        return None
    differences = [
        nodes for nodes in groups if nodes[0].operation == "sub" and found.nodes != tuple(nodes)
    ]
    return trial.first(_changed(differences, lambda nodes: _exchanged(nodes[0])))


def _exchanged(node: Node) -> Iterator[tuple[str, Change]]:
    if len(node.inputs) == 2 and node.operation in _ORDERED:
        yield f"with the operands of {node.operation} exchanged", _taking(lambda x: x[::-1])


def inserting(trial: Trial, operands: Operands) -> Edit | None:
    """An operation more."""
    groups = _groups(trial.cone.nodes)
    computing = [nodes for nodes in groups if nodes[0].operation not in PARTS]
    lacking = [edit for nodes in computing for edit in solved_insertions(trial, nodes)]
    neat = [edit for edit in lacking if is_neat(edit, operands.scalars)]
    if neat:
        # A factor may stand anywhere along a chain of products; one writes it after their sum.
        return min(neat, key=lambda edit: (roughness(edit), edit.nodes[0].operation not in _SUMS))
    return trial.first(insertions(trial.cone, groups, operands))


def _changed(
    groups: Sequence[Sequence[Node]],
    changes: Callable[[Sequence[Node]], Iterable[tuple[str, Change]]],
) -> Iterator[Edit]:
    """Changes of all operations of one text, the last in the program first."""
    for nodes in reversed(groups):
        yield from (Edit(tuple(nodes), words, made) for words, made in changes(nodes))


def _bypassed(
    nodes: Sequence[Node], among: Sequence[Sequence[Node]]
) -> Iterator[tuple[str, Change]]:
    return _without(nodes[0]) if nodes in among else iter(())


def _without(node: Node) -> Iterator[tuple[str, Change]]:
    for place, given in enumerate(node.inputs):
        if not given.constant and given.array.shape == node.outputs[0].array.shape:
            yield f"without {node.operation}", _passing(place)


def _passing(place: int) -> Change:
    """One of what is given, as it is."""
    return lambda _: lambda *x: [x[place]]


def _taking(order: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Change:
    """The same operation of what is given in another order."""
    return lambda n: lambda *x: n.run(*order(x))


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """Operations by the text that they run, which may be in a loop, or in a helper called twice."""
    narrow: dict[Any, list[Node]] = {}
    wide: dict[Any, list[Node]] = {}
    for node in nodes:
        narrow.setdefault((node.where.place, node.operation, node.slot), []).append(node)
        wide.setdefault((node.where.place, node.operation), []).append(node)
    once = list(narrow.values())
    return [*(g for g in wide.values() if g not in once), *once]


def _edits(node: Node) -> Iterator[tuple[str, Change]]:
    def result(fn: Callable[[Any], Any]) -> Change:
        def made(node: Node) -> Run:
            def run(*arrays: Any) -> Sequence[Any]:
                first, *rest = node.run(*arrays)
                with np.errstate(all="ignore"):
                    return [fn(np.asarray(first)), *rest]

            return run

        return made

    inputs, array = node.inputs, node.outputs[0].array
    yield from _exchanged(node)
    if node.operation == "select_n" and len(inputs) == 3:
        yield "with the two cases exchanged", _taking(lambda x: (x[0], x[2], x[1]))
    for sibling in _SIBLINGS.get(node.operation, ()):
        yield f"with {sibling} for {node.operation}", functools.partial(_other, sibling=sibling)
    if node.operation == "concatenate" and len(inputs) > 2:
        yield "with its parts in the other order", _taking(lambda x: x[::-1])
    for axes in _other_axes(node):
        yield f"along axis {', '.join(map(str, axes))}", functools.partial(_along, axes=axes)
    if node.operation == "conv_general_dilated":
        yield from _convolutions(node)
    if array.dtype == bool:
        yield "negated", result(np.logical_not)
        return
    if not jnp.issubdtype(array.dtype, jnp.floating):
        yield "one more", result(lambda a: a + 1)
        yield "one less", result(lambda a: a - 1)
        return
    yield "with the other sign", result(np.negative)
    yield "squared", result(np.square)
    yield "as its root", result(np.sqrt)
    yield "as 1 over it", result(lambda a: 1 / a)
    yield "plus 1", result(lambda a: a + 1)
    yield "less 1", result(lambda a: a - 1)
    yield "as 1 less it", result(lambda a: 1 - a)
    yield "as its exponential", result(np.exp)
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            for words, fn in _ALONG:
                yield words, result(functools.partial(fn, axis=axis))


def _convolutions(node: Node) -> Iterator[tuple[str, Change]]:
    """Padding shifted, and the kernel turned round."""
    spatial = node.parameters["dimension_numbers"].rhs_spec[2:]
    pads = tuple(node.parameters["padding"])
    dilation = node.parameters["rhs_dilation"]
    shape = node.inputs[1].array.shape
    reach = [(shape[axis] - 1) * step for axis, step in zip(spatial, dilation, strict=True)]
    even = tuple((r // 2, r // 2) for r in reach)
    others = [even, tuple((high, low) for low, high in pads), tuple((0, 0) for _ in pads)]
    others += [tuple((low + i, high - i) for low, high in pads) for i in (1, -1, 2, -2)]
    for other in dict.fromkeys(others):
        if other != pads:
            yield f"with padding {other} for {pads}", functools.partial(_given, padding=other)
    yield (
        "with the kernel turned round",
        lambda n: lambda x, w: n.run(x, np.flip(np.asarray(w), tuple(spatial))),
    )


def _given(node: Node, **parameters: Any) -> Run | None:
    return None if node.changed is None else node.changed(**parameters)


def _other(node: Node, sibling: str) -> Run | None:
    plain = on_host(sibling, node.parameters)
    if plain is not None:
        return plain
    if sibling.startswith("cum"):
        rest = {k: node.parameters[k] for k in ("axis", "reverse") if k in node.parameters}
        return lambda x: [getattr(lax, sibling)(x, **rest)]
    return lambda *x: [getattr(lax, sibling)(*x)]


def _other_axes(node: Node) -> Iterator[tuple[int, ...]]:
    if node.operation in _AXES:
        axes = tuple(node.parameters["axes"])
        if len(axes) == 1:
            yield from ((a,) for a in range(node.inputs[0].array.ndim) if a != axes[0])
    elif node.operation in _ONE_AXIS:
        axis = node.parameters["axis"]
        yield from ((a,) for a in range(node.inputs[0].array.ndim) if a != axis)


def _along(node: Node, axes: tuple[int, ...]) -> Run | None:
    if node.operation in _AXES:
        return on_host(node.operation, {**node.parameters, "axes": axes})
    return lambda x: [getattr(lax, node.operation)(x, axis=axes[0])]
