"""Another value read in the place of one: a wrong variable, or a wrong argument of a call.

Or two parts of one value that got each other's name, as key and value, or gate and up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from parity.explain.edit import Change, Edit, Run
from parity.explain.graph import Node, Value
from parity.explain.location import Location
from parity.explain.operands import Operand, Operands
from parity.explain.slices import Slice
from parity.explain.statements import PARTS

_NEAREST = 10
_PARTS = 6


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


def swaps(cone: Slice, operands: Operands) -> Iterator[Edit]:
    """Two parts of one value exchanged, wherever they are read."""
    read = {id(v) for node in cone.nodes for v in node.inputs}
    families: dict[int, list[Operand]] = {}
    for value in {id(v): v for node in operands.nodes for v in node.inputs}.values():
        operand, whole = operands.of(value), _whole(value)
        if operand is not None and whole is not value:
            found = families.setdefault(id(whole), [])
            if operand not in found:
                found.append(operand)
    for parts in families.values():
        if not any(id(v) in read for part in parts for v in part.values):
            continue
        for one, other in itertools.combinations(parts[:_PARTS], 2):
            edit = _swap(one, other, operands)
            if edit is not None:
                yield edit


def _whole(value: Value) -> Value:
    """What a value is a part of."""
    while value.node is not None and value.node.operation in PARTS:
        value = value.node.inputs[0]
    return value


def _swap(one: Operand, other: Operand, operands: Operands) -> Edit | None:
    first, second = one.values[0], other.values[0]
    shapes = {(v.array.shape, v.array.dtype) for v in (first, second)}
    makers = [v.node.where for v in (first, second) if v.node is not None]
    if len(shapes) > 1 or len({(at.file, at.function, at.caller) for at in makers}) != 1:
        return None
    reading = [n for n in operands.nodes if {operands.of(v) for v in n.inputs} & {one, other}]
    reached = {id(v) for n in reading for v in n.outputs}
    through = list(reading)
    for node in operands.nodes:
        if node not in reading and any(id(v) in reached for v in node.inputs):
            through.append(node)
            reached |= {id(v) for v in node.outputs}

    def made(node: Node) -> Run:
        def run(*arrays: Any) -> Any:
            given = list(arrays)
            for place, value in enumerate(node.inputs):
                its = operands.of(value)
                taken = (other if its is one else one).at(node) if its in (one, other) else None
                if taken is not None:
                    given[place] = taken.array
            return node.run(*given)

        return run

    return Edit(
        tuple(reading),
        f"with {one.words} and {other.words} exchanged",
        made,
        general=False,
        taken=second,
        given=first,
        frame=min(makers, key=lambda at: at.line),
        through=tuple(through),
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
