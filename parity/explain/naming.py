"""Which statement a repair accuses, in which words, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.explain.align import Counterpart
from parity.explain.blame import blamed, constants, maker_of
from parity.explain.edit import Edit
from parity.explain.findings import Finding, alternatives, named, other_places
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import Location
from parity.explain.match import Knowledge, Matcher
from parity.explain.repair import Repair
from parity.explain.slices import Slice, from_data

# How many operations a misplaced value is followed back, and those that move elements.
_BACK = 24
_MOVING = frozenset(
    ("reshape", "tile", "concatenate", "rev", "gather", "slice", "dynamic_slice", "scatter")
)
_PARTS = frozenset((*_MOVING, "row", "squeeze", "broadcast_in_dim", "transpose", "split"))


class Naming:
    """Names repairs.

    Args:
      known: ids of our values that the reference has.
      data: ids of our values that depend on what the function is given.
    """

    def __init__(self, ours: Graph, matcher: Matcher, known: set[int], data: set[int]) -> None:
        self._ours = ours
        self._matcher = matcher
        self._known = known
        self._data = data

    def finding(
        self, repair: Repair, cone: Slice | None, edit: Edit | None, theirs: Slice
    ) -> Finding:
        """The finding of a repair.

        Args:
          cone: what the repaired value was made by; None where it is known, and read wrongly.
          edit: of an operation of the cone, that does the same as the repair.
          theirs: what the reference makes its outputs by, of values that ours hasn't.
        """
        node, value, array = repair.node, *repair.places[0]
        inner = [] if cone is None else [n for n in cone.nodes if n is not node]
        sure = repair.whole and (edit is None or edit.general)
        if edit is not None:
            node = edit.nodes[0]
            where, words = self._caller(node) or node.where, f"{edit.words}, what follows agrees"
        elif repair.kind in ("made", "together"):
            sure = sure and not inner
            where, words = self._made(repair, inner, cone, theirs)
        else:
            where, words = self._read(repair)
        nearby = [*(n.where for n in inner[::-1]), *alternatives(node, where, self._ours)]
        finding = Finding(
            node,
            where,
            Counterpart(value, repair.reference, array, False, 1.0, True),
            value.array,
            array,
            "high" if sure else "medium",
            words or "with the reference's value in its place, what follows agrees",
            other_places(where, nearby),
            known=frozenset(self._known),
            reference_known=self._matcher.known_to(self._ours),
        )
        role = repair.reference.node
        if repair.kind == "made" and role is not None and node is repair.node:
            finding.role, finding.role_support = role, float(self._given(node) == self._given(role))
        return finding

    def _made(
        self, repair: Repair, inner: Sequence[Node], cone: Slice | None, theirs: Slice
    ) -> tuple[Location, str]:
        """Of a value that was made wrongly."""
        knowledge = Knowledge(self._known, self._known, set(), set())
        role = repair.reference.node
        where, words = blamed(repair.node, role, self._ours, self._matcher, knowledge)
        if words or cone is None or not inner:
            return where, words
        return self._before(inner, cone, repair.places[0][0], theirs) or where, words

    def _read(self, repair: Repair) -> tuple[Location, str]:
        """Of a value that is known, and not what should have been read."""
        node, value = repair.node, repair.places[0][0]
        if repair.kind == "too many":
            words = f"without {node.operation}, what follows agrees"
            return self._caller(node) or node.where, words
        if repair.kind == "foreign":
            what = f"our {value.name} is none of the reference's values"
            return node.where, f"{what}; with {named(repair.reference)} in its place, it agrees"
        if repair.kind == "misplaced" and value.node is None:
            words = f"our {value.name} holds the reference's elements in other places"
            return node.where, words
        if repair.kind == "misplaced":
            words = "its elements are the reference's, in other places"
            return self._moved(value).where, words
        made, theirs = maker_of(value, self._matcher), repair.reference.node
        at = "more" if theirs is None else f"{theirs.operation} at {theirs.where}"
        if made is None or _given(value):
            return node.where, f"before it the reference has {at}"
        return made.where, f"after it the reference has {at}"

    def _given(self, node: Node) -> set[Any]:
        """Contents of what an operation works on."""
        return {self._matcher.prints.of(v).content for v in node.inputs if not v.constant}

    def _before(
        self, inner: Sequence[Node], cone: Slice, value: Value, theirs: Slice
    ) -> Location | None:
        """Where to look where the value was made of others that the reference hasn't, either.

        A helper that computes something else as a whole was perhaps the wrong one to call. A table
        made of constants is suspected where the reference has tables of its own.
        """
        last = cone.nodes[-1].where
        readers = [n.where for n in self._ours.nodes if value in n.inputs]
        leaves = all((r.file, r.function) != (last.file, last.function) for r in readers)
        tables = [node for node in inner if not self._from_data(node)]
        one_line = len({node.where.place for node in cone.nodes}) == 1
        if leaves and (one_line or len(tables) == len(inner)):
            caller = _helper(cone.nodes)
            if caller is not None:
                return caller
        if tables and (len(tables) == len(inner) or self._has_tables(theirs)):
            return _helper(tables)
        return self._shared(cone, theirs)

    def _has_tables(self, theirs: Slice) -> bool:
        """The reference makes tables of constants that ours hasn't."""
        data = from_data(self._matcher.reference)
        return any(
            v.array.size > 1 and np.asarray(v.array).dtype.kind == "f"
            for node in theirs.nodes
            for v in node.outputs
            if id(v) in theirs.members and id(v) not in data
        )

    def _from_data(self, node: Node) -> bool:
        return any(id(v) in self._data for v in node.outputs)

    def _shared(self, cone: Slice, theirs: Slice) -> Location | None:
        """Where something is made of what the reference makes something else of."""

        def read(node: Node) -> set[Any]:
            arrays = [v for v in node.inputs if not v.constant and v.array.size > 1]
            return {self._matcher.prints.of(v).content for v in arrays}

        taken = set().union(*(read(node) for node in theirs.nodes))
        for node in cone.nodes[:-1]:
            if read(node) & taken and any(id(v) in self._data for v in node.inputs):
                return node.where
        return None

    def _moved(self, value: Value) -> Node:
        """The operation that put a value's elements in other places, as far as it can be told."""
        assert value.node is not None
        frontier: list[Node | None] = [value.node]
        for _ in range(_BACK):
            node = frontier.pop(0) if frontier else None
            if node is None:
                continue
            if _moves(node) and any(self._stands(v) for v in node.inputs if not v.constant):
                return node
            frontier += [v.node for v in node.inputs]
        return value.node

    def _stands(self, value: Value) -> bool:
        """As the reference's does; or the reference has no such value."""
        placed = self._matcher.placed(self._matcher.prints.of(value))
        return placed or id(value) not in self._known

    def _caller(self, node: Node) -> Any:
        """The caller of a helper that is right where others call it."""
        caller = node.where.caller
        if caller is None or not constants(node):
            return None
        for other in self._ours.nodes:
            same = (other.where.place, other.operation) == (node.where.place, node.operation)
            if same and other.where.caller is not None:
                elsewhere = other.where.caller.place != caller.place
                elsewhere = elsewhere and constants(other) != constants(node)
                if elsewhere and all(id(v) in self._known for v in other.outputs):
                    return caller
        return None


def _helper(inner: Sequence[Node]) -> Location | None:
    """The caller of the one function that holds all of these: another may have to be called."""
    callers = {(node.where.file, node.where.function, node.where.caller) for node in inner}
    (_, _, caller), *others = callers
    return None if others else caller


def _moves(node: Node) -> bool:
    """Elements stand in other places after it, where the order of axes is none."""
    if node.operation == "reshape":
        shapes = [v.array.shape for v in (node.inputs[0], node.outputs[0])]
        own, made = ([size for size in shape if size != 1] for shape in shapes)
        return own != made
    return node.operation in _MOVING


def _given(value: Value) -> bool:
    """Part of what the function is given, as it is."""
    while value.node is not None:
        if value.node.operation not in _PARTS:
            return False
        value = value.node.inputs[0]
    return not value.constant
