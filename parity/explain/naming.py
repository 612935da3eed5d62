"""Which statement a repair accuses, in which words, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.explain.align import Counterpart
from parity.explain.blame import blamed, constants, maker_of
from parity.explain.edit import Edit
from parity.explain.findings import Confidence, Finding, alternatives, named
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
        self,
        repair: Repair,
        cone: Slice | None,
        edit: Edit | None,
        theirs: Slice,
    ) -> Finding:
        node, value, array = repair.node, *repair.places[0]
        inner = [] if cone is None else [n for n in cone.nodes if n is not node]
        confidence: Confidence = "high"
        if edit is not None:
            node = edit.nodes[0]
            where, words = node.where, f"{edit.words}, what follows agrees"
            where = self._caller(node) or where
        elif repair.kind == "too many":
            where = self._caller(node) or node.where
            words = f"without {node.operation}, what follows agrees"
        elif repair.kind == "foreign":
            where, words = node.where, f"our {value.name} is none of the reference's values"
            words += f"; with {named(repair.reference)} in its place, what follows agrees"
        elif repair.kind == "misplaced" and value.node is None:
            held = "its elements" if not value.name else f"our {value.name}"
            where, words = node.where, f"{held} holds the reference's elements in other places"
        elif repair.kind == "misplaced":
            maker = self._maker(value, repair)
            where = node.where if maker is None else maker.where
            words = "its elements are the reference's, in other places"
        elif repair.kind == "left out":
            maker = self._maker(value, repair)
            made = repair.reference.node
            at = "an operation" if made is None else f"{made.operation} at {made.where}"
            if maker is None or _given(value):
                where, words = node.where, f"before it the reference has {at}"
            else:
                where, words = maker.where, f"after it the reference has {at}"
        else:
            role = repair.reference.node
            knowledge = Knowledge(self._known, self._known, set(), set())
            where, words = blamed(node, role, self._ours, self._matcher, knowledge)
            if inner:
                confidence = "medium"
            if inner and not words:
                where = self._before(inner, cone, value, theirs) or where
        if not repair.whole or (edit is not None and not edit.general):
            confidence = "medium"
        counterpart = Counterpart(value, repair.reference, array, False, 1.0, True)
        finding = Finding(
            node,
            where,
            counterpart,
            value.array,
            array,
            confidence,
            words or "with the reference's value in its place, what follows agrees",
            other_places(
                where, [*(n.where for n in inner[::-1]), *alternatives(node, where, self._ours)]
            ),
        )
        finding.known = frozenset(self._known)
        finding.reference_known = self._matcher.known_to(self._ours)
        role = repair.reference.node
        if repair.kind == "made" and role is not None and node is repair.node:
            marks = self._matcher.prints
            given = [
                {marks.of(v).content for v in n.inputs if not v.constant} for n in (node, role)
            ]
            finding.role, finding.role_support = role, float(given[0] == given[1])
        return finding

    def _before(
        self, inner: Sequence[Node], cone: Slice | None, value: Value, theirs: Slice
    ) -> Location | None:
        """Where to look where the value was made of others that the reference hasn't, either."""
        made = {node.where.place for node in (*inner, *([value.node] if value.node else []))}
        readers = [n.where for n in self._ours.nodes if value in n.inputs]
        whole = [*inner, value.node] if value.node is not None else list(inner)
        left = all(
            (r.file, r.function) != (whole[-1].where.file, whole[-1].where.function)
            for r in readers
        )
        if left and (len(made) == 1 or not any(self._from_data(n) for n in inner)):
            caller = _helper(whole)
            if caller is not None:
                return caller
        tables = [node for node in inner if not self._from_data(node)]
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

    def _shared(self, cone: Slice | None, theirs: Slice) -> Location | None:
        """Where something is made of what the reference makes something else of."""
        if cone is None:
            return None
        marks = self._matcher.prints

        def read(node: Node) -> set[Any]:
            return {marks.of(v).content for v in node.inputs if not v.constant and v.array.size > 1}

        taken = set().union(*(read(node) for node in theirs.nodes))
        for node in cone.nodes[:-1]:
            if read(node) & taken and any(id(v) in self._data for v in node.inputs):
                return node.where
        return None

    def _maker(self, value: Value, repair: Repair) -> Node | None:
        """The operation that made a known value, or that put its elements in other places."""
        marks = self._matcher.prints
        if repair.kind != "misplaced":
            return maker_of(value, self._matcher)
        orders = {marks.of(v).order for v in self._matcher.reference.values()}
        frontier, seen = [value.node], 0
        while frontier and seen < _BACK:
            node, seen = frontier.pop(0), seen + 1
            if node is None:
                continue
            if _moves(node) and any(
                not v.constant and (id(v) not in self._known or marks.of(v).order in orders)
                for v in node.inputs
            ):
                return node
            frontier += [v.node for v in node.inputs]
        return value.node

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


def other_places(where: Any, places: Sequence[Any]) -> list[Any]:
    """Each other place once."""
    kept = {place.place: place for place in places if place.file and place.place != where.place}
    return list(kept.values())[:4]
