"""Which statement a repair accuses, in which words, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.explain.align import Counterpart
from parity.explain.blame import blamed, constants, maker_of
from parity.explain.edit import Edit
from parity.explain.findings import Finding, alternatives, named, other_places
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import Location
from parity.explain.match import Knowledge, Matcher
from parity.explain.provenance import Provenance
from parity.explain.repair import Repair
from parity.explain.slices import Slice, from_data
from parity.explain.statements import PARTS, Statements, helper_call, is_given, moves

# How many operations a misplaced value is followed back.
_BACK = 80
_ARITHMETIC = frozenset(("add", "sub", "mul", "div", "max", "min", "pow"))


@dataclass(frozen=True)
class Foreign:
    """An array that the reference hasn't: where it was made, and what is said of it."""

    where: Location
    words: str


class Naming:
    """Names repairs.

    Args:
      known: ids of our values that the reference has.
      data: ids of our values that depend on what the function is given.
      provenance: where constants of ours were made.
    """

    def __init__(
        self,
        ours: Graph,
        matcher: Matcher,
        known: set[int],
        data: set[int],
        provenance: Provenance,
    ) -> None:
        self._ours = ours
        self._matcher = matcher
        self._known = known
        self._data = data
        self._statements = Statements(ours, matcher, known)
        self._provenance = provenance

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
            where, words = (
                self._statements.place(edit, repair.whole),
                f"{edit.words}, what follows agrees",
            )
        elif repair.kind in ("made", "together"):
            sure = sure and not inner
            where, words = self._made(repair, inner, cone, theirs)
        else:
            where, words = self._read(repair)
        if repair.kind == "too many" or (edit is not None and edit.constant is not None):
            where = self._number(node, where)
        given = edit.given.node if edit is not None and edit.given is not None else None
        nearby = [given.where] if given is not None else []
        nearby += [*(n.where for n in inner[::-1]), *alternatives(node, where, self._ours)]
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
        foreign = self.foreign([] if cone is None else cone.entering())
        if foreign is not None:
            return foreign.where, foreign.words
        where, words = blamed(repair.node, role, self._ours, self._matcher, knowledge)
        if words or cone is None or not inner:
            return where, words
        return self._before(inner, cone, repair.places[0][0], theirs) or where, words

    def output(self, value: Value, target: Value, cone: Slice, edit: Edit | None) -> Finding | None:
        """The finding of an output that nothing on the way to it can be put right for.

        Args:
          target: the reference's output.
          edit: after which the output is the reference's; None where none was found.
        """
        if edit is not None:
            node, words = edit.nodes[0], f"{edit.words}, our output agrees"
            where = self._statements.place(edit, whole=True)
        else:
            ends = [*cone.nodes[-1:], *filter(None, [self._origin(cone)])]
            if not ends:
                return None
            node, words = ends[-1], "its inputs are the reference's, and nothing after it is"
            foreign = self.foreign(cone.entering())
            where = node.where if foreign is None else foreign.where
            words = words if foreign is None else foreign.words
        return Finding(
            node,
            where,
            Counterpart(value, target, target.array, False, 0.0, False, output=True),
            value.array,
            target.array,
            "low" if edit is None else "high" if edit.general else "medium",
            words,
            other_places(where, [n.where for n in cone.nodes]),
            known=frozenset(self._known),
            reference_known=self._matcher.known_to(self._ours),
        )

    def _origin(self, cone: Slice) -> Node | None:
        """The first operation on data whose inputs are known."""
        for node in cone.nodes:
            inputs = [v for v in node.inputs if not v.constant]
            known = [id(v) in self._known or id(v) not in self._data or v.closed for v in inputs]
            if all(known) and any(id(v) in self._data for v in inputs):
                return node
        return None

    def _number(self, node: Node, where: Location) -> Location:
        """Where the one number was computed that an operation uses; else where it is used."""
        numbers = constants(node)
        if len(numbers) != 1 or where.place != node.where.place:
            return where
        return self._provenance.number(numbers[0], where) or where

    def without_effect(self, value: Value) -> list[Node]:
        """From an operation with a number that changes nothing, as times 1 does, to the value.

        Empty where there is none on the way to it.
        """
        node, way = value.node, list[Node]()
        while node is not None:
            way.insert(0, node)
            before = [v for v in node.inputs if self._same(v, value)]
            if not before:
                break
            if constants(node) and node.operation in _ARITHMETIC:
                return way
            node = before[0].node
        return []

    def _same(self, one: Value, other: Value) -> bool:
        marks = self._matcher.prints
        return marks.of(one).content == marks.of(other).content

    def foreign(self, values: Sequence[Value]) -> Foreign | None:
        """The array among these that ours closes over and the reference hasn't.

        None where there is none, or where several were made at several statements.
        """
        found = [v for v in values if v.closed and v.array.size > 1 and id(v) not in self._known]
        places = [self._provenance.array(v.array) for v in found]
        if not places or places[0] is None:
            return None
        if any(at is None or at.place != places[0].place for at in places):
            return None
        return Foreign(places[0], f"our {found[0].name} is none of the reference's values")

    def _read(self, repair: Repair) -> tuple[Location, str]:
        """Of a value that is known, and not what should have been read."""
        node, value = repair.node, repair.places[0][0]
        if repair.kind == "too many":
            words = f"without {node.operation}, what follows agrees"
            return self._statements.caller(node) or self._statements.call(
                node, [node], repair.whole
            ), words
        if repair.kind == "foreign":
            what = f"our {value.name} is none of the reference's values"
            place = self._provenance.array(value.array) or node.where
            return place, f"{what}; with {named(repair.reference)} in its place, it agrees"
        if repair.kind == "misplaced" and value.node is None:
            words = f"our {value.name} holds the reference's elements in other places"
            return node.where, words
        if repair.kind == "misplaced":
            words = "its elements are the reference's, in other places"
            return self._moved(value).where, words
        made = next(iter(self.without_effect(value)), None) or maker_of(value, self._matcher)
        theirs = repair.reference.node
        at = "more" if theirs is None else f"{theirs.operation} at {theirs.where}"
        while made is not None and made.operation in PARTS:
            made = maker_of(made.inputs[0], self._matcher)
        if made is None or is_given(value):
            return node.where, f"before it the reference has {at}"
        return self._statements.call(made, [made], repair.whole), f"after it the reference has {at}"

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
        readers = [n.where for n in self._statements.readers(value)]
        leaves = all((r.file, r.function) != (last.file, last.function) for r in readers)
        tables = [node for node in inner if not self._from_data(node)]
        one_line = len({node.where.place for node in cone.nodes}) == 1
        if leaves and (one_line or len(tables) == len(inner)):
            caller = helper_call(cone.nodes)
            if caller is not None:
                return caller
        if tables and (len(tables) == len(inner) or self._has_tables(theirs)):
            return helper_call(tables)
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
        looked_up: list[Node] = []
        for _ in range(_BACK):
            node = frontier.pop(0) if frontier else None
            if node is None:
                continue
            if moves(node) and any(self._stands(v) for v in node.inputs if not v.constant):
                if node.operation != "gather":
                    return node
                looked_up.append(node)  # in the right place perhaps, by indices in the wrong order
            frontier += [v.node for v in node.inputs if v.node not in frontier]
        return looked_up[0] if looked_up else value.node

    def _stands(self, value: Value) -> bool:
        """As the reference's does; or the reference has no such value."""
        placed = self._matcher.placed(self._matcher.prints.of(value))
        return placed or id(value) not in self._known
