"""Another value read in the place of one: a wrong variable, or a wrong argument of a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parity.explain.edit import Change, Edit, Run
from parity.explain.graph import Node
from parity.explain.location import Location
from parity.explain.operands import Operand, Operands
from parity.explain.slices import Slice

_NEAREST = 10


def exchanges(cone: Slice, operands: Operands) -> Iterator[Edit]:
    """One value for another in all that a statement reads, itself and in what it calls."""
    seen: set[Any] = set()
    for frame, operand, nodes, below in _readings(cone, operands):
        key = id(operand), tuple(id(n) for n in nodes)
        if key in seen:
            continue
        seen.add(key)
        first = nodes[0]
        read = next(v for v in first.inputs if operands.of(v) is operand)
        for other in operands.like(read, first)[:_NEAREST]:
            yield Edit(
                tuple(nodes),
                f"with {other.words} for {operand.words}",
                _reading(operand, other, operands),
                general=False,
                taken=other.at(first),
                given=read,
                frame=frame,
                through=tuple(below) if len(below) > 1 else (),
            )


def _readings(
    cone: Slice, operands: Operands
) -> Iterator[tuple[Location, Operand, list[Node], list[Node]]]:
    """Which operations read a known value below one statement, the innermost statements first.

    With them all operations below the statement.
    """
    chains = {id(node): _chain(node.where) for node in operands.nodes}
    # The same statement may stand at several depths, as in a recursion.
    wanted = {(i, at.place) for n in cone.nodes for i, at in enumerate(chains[id(n)])}
    below: dict[Any, list[Node]] = {}
    for node in operands.nodes:
        for i, at in enumerate(chains[id(node)]):
            if (i, at.place) in wanted:
                below.setdefault((i, at.place), []).append(node)
    for (depth, _), nodes in sorted(below.items(), key=lambda item: -item[0][0]):
        made = {id(v) for node in nodes for v in node.outputs}
        readers: dict[int, tuple[Operand, list[Node]]] = {}
        for node in nodes:
            for value in node.inputs:
                operand = None if id(value) in made else operands.of(value)
                if operand is not None:
                    readers.setdefault(id(operand), (operand, []))[1].append(node)
        for operand, reading in readers.values():
            frame = chains[id(reading[0])][depth]
            yield frame, operand, list(dict.fromkeys(reading)), nodes


def _chain(where: Location) -> list[Location]:
    """The statements that called it, the outermost first, and itself."""
    found: list[Location] = []
    at: Location | None = where
    while at is not None:
        found.append(at)
        at = at.caller
    return found[::-1]


def _reading(operand: Operand, other: Operand, operands: Operands) -> Change:
    def made(node: Node) -> Run:
        value = other.at(node)
        places = [i for i, v in enumerate(node.inputs) if operands.of(v) is operand]

        def run(*arrays: Any) -> Any:
            given = list(arrays)
            for place in places:
                if value is not None:
                    given[place] = value.array
            return node.run(*given)

        return run

    return made
