"""Operations that a program lacks: one of its values combined with another known one.

A factor, a bias or a gate that was left out is put in where it may belong, and proves itself as
any edit does. What the reference adds, subtracts, multiplies or divides by on its way to the wrong
output is tried first, then our known values, those made nearest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from parity.explain.edit import Change, Edit, Run
from parity.explain.graph import Node
from parity.explain.operands import Operand, Operands
from parity.explain.slices import Slice

_COMBINED: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("plus", lambda x, k: x + k),
    "sub": ("less", lambda x, k: x - k),
    "mul": ("times", lambda x, k: x * k),
    "div": ("divided by", lambda x, k: x / k),
}
_RINGS = 8


def insertions(cone: Slice, groups: Sequence[Sequence[Node]], operands: Operands) -> Iterator[Edit]:
    """One operation more, on the result of operations or on an operand of theirs alone."""
    shared = _shared(cone)
    tables = [nodes for nodes in groups if operands.table(nodes[0])]
    rest = [nodes for nodes in groups if not operands.table(nodes[0])]
    order: list[tuple[Sequence[Sequence[Node]], int | None]] = [
        (tables, 0),
        (groups, None),
        (rest, 0),
        (tables, 1),
        *((rest, ring) for ring in range(1, _RINGS)),
    ]
    for chosen, ring in order:
        for nodes in chosen:
            first = nodes[0]
            choices = operands.of_the_reference() if ring is None else operands.near(first, ring)
            for operand, operation in choices:
                for place in (None, *(i for i, v in enumerate(first.inputs) if id(v) in shared)):
                    yield from _combinations(nodes, operand, operation, place)


def _shared(cone: Slice) -> set[int]:
    """Ids of values that the reference has, or that several operations read."""
    readers: dict[int, int] = {}
    for node in cone.nodes:
        for given in node.inputs:
            readers[id(given)] = readers.get(id(given), 0) + 1
    return {key for key, count in readers.items() if count > 1 or key not in cone.members}


def _combinations(
    nodes: Sequence[Node], operand: Operand, operation: str, place: int | None
) -> Iterator[Edit]:
    """In each way in which the operand fits, with the result or with an operand of the nodes."""
    first, value = nodes[0], operand.at(nodes[0])
    target = first.outputs[0] if place is None else first.inputs[place]
    if value is None or value in first.outputs or value is target:
        return
    kinds = value.array.dtype.kind, target.array.dtype.kind
    if kinds not in _KINDS.get(operation, _PLAIN):
        return
    for way in range(len(operand.fitted(value, target.array.shape))):
        verb, combined = _COMBINED[operation]
        made = _combining(operand, combined, place, way)
        frame = None if place is None else first.where
        yield Edit(tuple(nodes), f"{verb} {operand.words}", made, taken=value, frame=frame)


_PLAIN = frozenset((("f", "f"), ("i", "i"), ("i", "f")))
# A mask keeps what it is multiplied with.
_KINDS = {"mul": _PLAIN | {("b", "f"), ("b", "i")}}


def _combining(
    operand: Operand, combined: Callable[[Any, Any], Any], place: int | None, way: int
) -> Change:
    def made(node: Node) -> Run:
        value = operand.at(node)

        def with_it(x: Any) -> Any:
            if value is None or value in node.outputs:
                return x  # before the first of them there is nothing to combine with
            ways = operand.fitted(value, np.shape(x))
            if way >= len(ways):
                raise ValueError("no such way to fit")
            with np.errstate(all="ignore"):
                return combined(np.asarray(x), ways[way])

        def run(*arrays: Any) -> Sequence[Any]:
            if place is None:
                first, *rest = node.run(*arrays)
                return [with_it(first), *rest]
            return node.run(*arrays[:place], with_it(arrays[place]), *arrays[place + 1 :])

        return run

    return made
