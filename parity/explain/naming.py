"""Which statement a repair accuses, in which words, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.explain.align import Counterpart
from parity.explain.blame import blamed, constants, maker_of
from parity.explain.content import numbers
from parity.explain.edit import Edit
from parity.explain.findings import Finding, alternatives, named, other_places
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import Location
from parity.explain.match import Knowledge, Matcher
from parity.explain.moves import mover
from parity.explain.provenance import Provenance, foreign
from parity.explain.repair import Repair
from parity.explain.slices import Slice, from_data
from parity.explain.statements import (
    PARTS,
    Statements,
    helper_call,
    is_given,
    nearer,
    within,
)
from parity.explain.weights import rounded_to

_ARITHMETIC = frozenset(("add", "sub", "mul", "div", "max", "min", "pow"))


class Naming:
    """Names repairs.

    Args:
      known: ids of our values that the reference has.
      data: ids of our values that depend on what the function is given.
      provenance: where constants of ours were made.
      accused: places that are accused already.
    """

    def __init__(
        self,
        ours: Graph,
        matcher: Matcher,
        known: set[int],
        data: set[int],
        provenance: Provenance,
        accused: set[tuple[str, int]],
    ) -> None:
        self._ours = ours
        self._matcher = matcher
        self._known = known
        self._data = data
        self._statements = Statements(ours, matcher, known, accused)
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
        sure = repair.whole and (repair.kind != "left out" if edit is None else edit.general)
        if edit is not None:
            node = edit.nodes[0]
            where, words = (
                self._statements.place(edit, repair.whole),
                f"{edit.words}, what follows agrees",
            )
        elif repair.kind == "too many" and len(inner) > 0 and cone is not None:
            sure = False
            where, words = self._step(repair, cone)
        elif repair.kind in ("made", "together"):
            sure = sure and not inner
            where, words = self._made(repair, inner, cone, theirs)
        else:
            where, words = self._read(repair)
        if edit is None:
            where = self._statements.accused(where)
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

    def _step(self, repair: Repair, cone: Slice) -> tuple[Location, str]:
        """Of several operations that do what the reference doesn't do: a statement, or a helper."""
        last = repair.node.where
        readers = self._statements.readers(repair.node.outputs[0])
        inside = any(within(n.where, last) for n in readers)
        where = last if inside else helper_call(cone.nodes) or last
        return where, f"without what is made at {cone.nodes[0].where}, what follows agrees"

    def _made(
        self, repair: Repair, inner: Sequence[Node], cone: Slice | None, theirs: Slice
    ) -> tuple[Location, str]:
        """Of a value that was made wrongly."""
        knowledge = Knowledge(self._known, self._known, set(), set())
        role = repair.reference.node
        strange = foreign([] if cone is None else cone.entering(), self._known, self._provenance)
        if strange is not None:
            return strange.where, strange.words
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
            strange = foreign(cone.entering(), self._known, self._provenance)
            where = node.where if strange is None else strange.where
            words = words if strange is None else strange.words
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

    def _read(self, repair: Repair) -> tuple[Location, str]:
        """Of a value that is known, and not what should have been read."""
        node, value = repair.node, repair.places[0][0]
        if repair.kind == "too many":
            words = f"without {node.operation}, what follows agrees"
            return self._statements.caller(node) or self._statements.call(
                node, [node], repair.whole
            ), words
        if repair.kind == "foreign":
            dtype = rounded_to(numbers(value.array), numbers(repair.places[0][1]))
            what = f"our {value.name} is none of the reference's values"
            what = f"our {value.name} was rounded to {dtype}" if dtype else what
            place = self._provenance.array(value.array) or node.where
            return place, f"{what}; with {named(repair.reference)} in its place, it agrees"
        if repair.kind == "misplaced" and value.node is None:
            words = f"our {value.name} holds the reference's elements in other places"
            return node.where, words
        if repair.kind == "misplaced":
            words = "its elements are the reference's, in other places"
            moved = mover(value, repair.places[0][1], self._stands) or node
            return moved.where, words
        made = next(iter(self.without_effect(value)), None) or maker_of(value, self._matcher)
        theirs = repair.reference.node
        at = "more" if theirs is None else f"{theirs.operation} at {theirs.where}"
        while made is not None and made.operation in PARTS:
            made = maker_of(made.inputs[0], self._matcher)
        if made is None or is_given(value) or self._with_reader(repair, made):
            return node.where, f"before it the reference has {at}"
        return self._statements.call(made, [made], repair.whole), f"after it the reference has {at}"

    def _with_reader(self, repair: Repair, made: Node) -> bool:
        """What is left out belongs to what uses it, not to what made the value.

        So it is in the reference's text; or one helper hands the value on to another.
        """
        last = repair.reference.node
        twins = [v.node.where for v in self._matcher.twins(repair.places[0][0]) if v.node]
        if last is None or last.where in twins:
            return False
        reading = [n.where for n in self._matcher.reference.nodes if repair.reference in n.inputs]
        return last.where in reading or nearer(repair.node.where, made.where)

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

    def _stands(self, value: Value) -> bool:
        """As the reference's does; or the reference has no such value."""
        placed = self._matcher.placed(self._matcher.prints.of(value))
        return placed or id(value) not in self._known
