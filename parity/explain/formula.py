"""The formula pass: where ours computes something else, whatever is rounded where.

Both programs are replayed in float64 from the same numbers. Values are recognised by content within
a tolerance, so another order, layout or framework is no difference. What a wrong output was made
of, back to values that both have, holds the fault; the first value in it that the reference's can
be put in place of, so that what follows agrees, stands nearest to it. An edit of one operation that
makes that value right proves which one it is. Then the value is put right, and the next is looked
for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from parity.explain.align import Counterpart
from parity.explain.alike import alike, few
from parity.explain.blame import blamed, constants, maker_of
from parity.explain.content import ROUNDED, Contents, close, close_sorted, numbers
from parity.explain.edits import Edit, repairing
from parity.explain.findings import Confidence, Finding, alternatives, named
from parity.explain.graph import Graph, Node, Value, replay
from parity.explain.location import Location
from parity.explain.match import Knowledge, Matcher
from parity.explain.outputs import OutputComparison
from parity.explain.repair import Repair, Repairs, applied
from parity.explain.search import find
from parity.explain.slices import Slice, from_data, slice_of
from parity.program.jaxprs import Widening

_ROUNDS = 12
# How many operations a misplaced value is followed back, and those that move elements.
_BACK = 24
_MOVING = frozenset(
    ("reshape", "tile", "concatenate", "rev", "gather", "slice", "dynamic_slice", "scatter")
)
_PARTS = frozenset((*_MOVING, "row", "squeeze", "broadcast_in_dim", "transpose", "split"))


@dataclass(frozen=True)
class Formulas:
    """What float64 says of two programs.

    Attributes:
      findings: departures in execution order; none where the outputs agree.
      alike: one was written after the other.
    """

    findings: list[Finding]
    alike: bool


def formulas(
    ours: Callable[..., Any], reference: Callable[..., Any], inputs: Sequence[Any]
) -> Formulas:
    """Hold the formulas of two functions of the same arguments against each other.

    Raises:
      RequestError: a function can't be traced or replayed.
      EvaluationError: an operation has no meaning in float64.
    """
    with jax.enable_x64(True):
        wide = Widening("float64")
        given = jax.tree.map(lambda x: wide.cast(jax.numpy.asarray(x)), tuple(inputs))
        graphs = (
            replay(ours, given, "ours", wide=wide),
            replay(reference, given, "the reference", wide=wide),
        )
        for graph in graphs:
            graph.drop_dead()
        search = FormulaSearch(*graphs)
        if not search.wrong():
            return Formulas([], alike(*graphs) or few(*graphs))
        found = find(*graphs) if alike(*graphs) else search.findings()
        for finding in found:
            finding.kind = "formula"
        return Formulas(found, alike(*graphs))


class FormulaSearch:
    """Finds departures one after the other; values of `ours` are put right on the way.

    Args:
      ours, reference: replayed in float64, without what no output depends on; to be searched with
        x64 enabled.
    """

    def __init__(self, ours: Graph, reference: Graph) -> None:
        self._ours = ours
        self._reference = reference
        self._contents = Contents()
        self._matcher = Matcher(reference, self._contents)
        self._data = from_data(ours)
        self._given_up: set[str] = set()
        self._found: list[Finding] = []
        _take_rounded(ours, reference, self._data)

    def findings(self) -> list[Finding]:
        for _ in range(_ROUNDS):
            if not self._step():
                break
        for finding in self._found:
            finding.leads_to = self._ours.first_output(finding.node)
        return sorted(self._found, key=lambda finding: finding.node.index)

    def wrong(self) -> dict[str, Value]:
        """Outputs that are not the reference's."""
        theirs = self._reference.outputs
        return {
            name: value
            for name, value in self._ours.outputs.items()
            if name not in self._given_up
            and not close(numbers(value.array), numbers(theirs[name].array), ROUNDED)
        }

    def _step(self) -> bool:
        self._outputs()
        wrong = self.wrong()
        if not wrong:
            return False
        known = self._known()
        part = slice_of(self._ours.nodes, wrong.values(), lambda v: id(v) in known)
        contents = {self._matcher.prints.of(v).content for v in self._ours.values()}
        theirs = slice_of(
            self._reference.nodes,
            [self._reference.outputs[name] for name in wrong],
            lambda v: v.constant or self._matcher.prints.of(v).content in contents,
        )
        repairs = Repairs(
            self._ours, self._matcher, self._contents, part, theirs, known, self._data
        )
        repair = repairs.first()
        if repair is not None:
            self._settle(repair, part, theirs, known)
        else:
            self._last(wrong, part, known)
        return True

    def _outputs(self) -> None:
        """What is right on the way to an output, and wrong as the output."""
        known = self._known()
        knowledge = Knowledge(known, known, set(), set())
        compared = OutputComparison(self._ours, self._matcher, knowledge, _equal)
        told = set(self._ours.outputs) - set(self.wrong())
        for finding in compared.findings(told, set()):
            self._found.append(finding)
            self._given_up |= set(finding.outputs)

    def _known(self) -> set[int]:
        """Ids of our values that the reference has, and that can't be so by chance."""
        known = {id(v) for v in self._ours.inputs}
        marks, has = self._matcher.prints, self._matcher.has
        orders = {marks.of(v).order for v in self._reference.values()}
        for value in self._ours.closed:
            if has(marks.of(value)) or not marks.of(value).telling:
                known.add(id(value))
        for node in self._ours.nodes:
            settled = all(v.constant or id(v) in known for v in node.inputs)
            for value in node.outputs:
                mark = marks.of(value)
                placed = mark.order in orders and value.array.size > 1
                if has(mark) and (mark.telling or settled or placed):
                    known.add(id(value))
                elif value.array.size <= 1 and id(value) not in self._data:
                    known.add(id(value))  # a number made of numbers: what uses it is judged
        return known

    def _settle(self, repair: Repair, part: Slice, theirs: Slice, known: set[int]) -> None:
        value, array = repair.places[0]
        cone = part.cone(value) if id(value) in part.members else None
        edit: Edit | None = None
        if cone is not None and repair.kind in ("made", "together"):
            edit = repairing(cone, value, array, self._others(part, known))
        self._found.append(self._finding(repair, cone, edit, theirs, known))
        applied(self._ours, part, repair)
        if edit is not None and edit.general:
            self._everywhere(edit, known)

    def _everywhere(self, edit: Edit, known: set[int]) -> None:
        """What one text does wrong it does wrong wherever it runs, but for what is right there."""
        first = edit.nodes[0]
        for node in self._ours.nodes:
            if node in edit.nodes or any(id(v) in known for v in node.outputs):
                continue
            text = (node.where.place, node.operation, constants(node))
            if text == (first.where.place, first.operation, constants(first)):
                run = edit.made(dataclasses.replace(node))
                if run is not None and _fits(node, run):
                    node.run = run
                    self._ours.run_again(node)

    def _others(self, part: Slice, known: set[int]) -> list[Value]:
        entering = part.entering()
        given = [v for v in self._ours.given() if v not in entering]
        made = [v for n in self._ours.nodes for v in n.outputs if id(v) in known]
        return [*(v for v in entering if not v.constant), *given, *made]

    def _finding(
        self,
        repair: Repair,
        cone: Slice | None,
        edit: Edit | None,
        theirs: Slice,
        known: set[int],
    ) -> Finding:
        node, value, array = repair.node, *repair.places[0]
        inner = [] if cone is None else [n for n in cone.nodes if n is not node]
        confidence: Confidence = "high"
        if edit is not None:
            node = edit.nodes[0]
            where, words = node.where, f"{edit.words}, what follows agrees"
            where = self._caller(node, known) or where
        elif repair.kind == "too many":
            where = self._caller(node, known) or node.where
            words = f"without {node.operation}, what follows agrees"
        elif repair.kind == "foreign":
            where, words = node.where, f"our {value.name} is none of the reference's values"
            words += f"; with {named(repair.reference)} in its place, what follows agrees"
        elif repair.kind == "misplaced" and value.node is None:
            held = "its elements" if not value.name else f"our {value.name}"
            where, words = node.where, f"{held} holds the reference's elements in other places"
        elif repair.kind == "misplaced":
            maker = self._maker(value, repair, known)
            where = node.where if maker is None else maker.where
            words = "its elements are the reference's, in other places"
        elif repair.kind == "left out":
            maker = self._maker(value, repair, known)
            made = repair.reference.node
            at = "an operation" if made is None else f"{made.operation} at {made.where}"
            if maker is None or _given(value):
                where, words = node.where, f"before it the reference has {at}"
            else:
                where, words = maker.where, f"after it the reference has {at}"
        else:
            role = repair.reference.node
            knowledge = Knowledge(known, known, set(), set())
            where, words = blamed(node, role, self._ours, self._matcher, knowledge)
            if inner:
                confidence = "medium"
                where = _helper(cone, value, self._ours) or self._shared(cone, theirs) or where
        counterpart = Counterpart(value, repair.reference, array, False, 1.0, True)
        finding = Finding(
            node,
            where,
            counterpart,
            value.array,
            array,
            confidence,
            words or "with the reference's value in its place, what follows agrees",
            _places(
                where, [*(n.where for n in inner[::-1]), *alternatives(node, where, self._ours)]
            ),
        )
        finding.known = frozenset(known)
        finding.reference_known = self._matcher.known_to(self._ours)
        role = repair.reference.node
        if repair.kind == "made" and role is not None and node is repair.node:
            marks = self._matcher.prints
            given = [
                {marks.of(v).content for v in n.inputs if not v.constant} for n in (node, role)
            ]
            finding.role, finding.role_support = role, float(given[0] == given[1])
        return finding

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

    def _foreign(self, value: Value, known: set[int]) -> bool:
        return value.closed and id(value) not in known

    def _maker(self, value: Value, repair: Repair, known: set[int]) -> Node | None:
        """The operation that made a known value, or that put its elements in other places."""
        marks = self._matcher.prints
        if repair.kind != "misplaced":
            return maker_of(value, self._matcher)
        orders = {marks.of(v).order for v in self._reference.values()}
        frontier, seen = [value.node], 0
        while frontier and seen < _BACK:
            node, seen = frontier.pop(0), seen + 1
            if node is None:
                continue
            if _moves(node) and any(
                not v.constant and (id(v) not in known or marks.of(v).order in orders)
                for v in node.inputs
            ):
                return node
            frontier += [v.node for v in node.inputs]
        return value.node

    def _caller(self, node: Node, known: set[int]) -> Any:
        """The caller of a helper that is right where others call it."""
        caller = node.where.caller
        if caller is None or not constants(node):
            return None
        for other in self._ours.nodes:
            same = (other.where.place, other.operation) == (node.where.place, node.operation)
            if same and other.where.caller is not None:
                elsewhere = other.where.caller.place != caller.place
                elsewhere = elsewhere and constants(other) != constants(node)
                if elsewhere and all(id(v) in known for v in other.outputs):
                    return caller
        return None

    def _last(self, wrong: dict[str, Value], part: Slice, known: set[int]) -> None:
        """No value can be put right on the way to the outputs: an edit may show the place."""
        name, value = next(iter(wrong.items()))
        self._given_up.add(name)
        target = self._reference.outputs[name]
        cone = part.cone(value)
        edit = repairing(cone, value, target.array, self._others(cone, known))
        counterpart = Counterpart(value, target, target.array, False, 0.0, False, output=True)
        if edit is not None:
            node, confidence = edit.nodes[0], "high"
            words = f"{edit.words}, our output agrees"
        else:
            node = _origin(cone, known, self._data) or cone.nodes[-1] if cone.nodes else None
            confidence = "low"
            words = "its inputs are the reference's, and nothing after it is"
            foreign = [] if node is None else [v for v in node.inputs if self._foreign(v, known)]
            if foreign:
                words = f"our {foreign[0].name} is none of the reference's values"
        if node is None:
            return
        self._found.append(
            Finding(
                node,
                node.where,
                counterpart,
                value.array,
                target.array,
                confidence,  # type: ignore[arg-type]
                words,
                _places(node.where, [n.where for n in cone.nodes]),
                known=frozenset(known),
                reference_known=self._matcher.known_to(self._ours),
            )
        )


def _fits(node: Node, run: Callable[..., Sequence[Any]]) -> bool:
    """What is run instead gives arrays of the same shapes."""
    try:
        arrays = run(*(v.array for v in node.inputs))
    except Exception:  # an edit may have no meaning on these shapes; libraries say so in many ways
        return False
    return [np.shape(a) for a in arrays] == [v.array.shape for v in node.outputs]


def _equal(ours: Any, reference: Any) -> bool:
    return close(numbers(ours), numbers(reference), ROUNDED)


def _helper(cone: Slice | None, value: Value, ours: Graph) -> Location | None:
    """The caller of a function that made the value alone: another would have to be called."""
    if cone is None:
        return None
    callers = {(node.where.file, node.where.function, node.where.caller) for node in cone.nodes}
    (file, function, caller), *others = callers
    if others or caller is None:
        return None
    readers = [n.where for n in ours.nodes if value in n.inputs]
    outside = any((place.file, place.function) != (file, function) for place in readers)
    return caller if outside or not readers else None


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


def _origin(cone: Slice, known: set[int], data: set[int]) -> Node | None:
    """The first operation on data whose inputs are known."""
    for node in cone.nodes:
        inputs = [v for v in node.inputs if not v.constant]
        settled = all(id(v) in known or id(v) not in data or v.closed for v in inputs)
        if settled and any(id(v) in data for v in inputs):
            return node
    return None


def _take_rounded(ours: Graph, reference: Graph, data: set[int]) -> None:
    """Take the reference's tables where ours differ by a rounding of float32, so it won't spread."""
    theirs = _tables(reference, from_data(reference))
    ordered = [np.sort(numbers(v.array), axis=None) for v in theirs]
    for value in _tables(ours, data):
        flat = numbers(value.array).reshape(-1)
        places = np.argsort(flat, kind="stable")
        own = flat[places]
        for other in ordered:
            if own.size < other.size or own.size % other.size:
                continue
            if close_sorted(own, other, ROUNDED) and not close_sorted(own, other):
                taken = np.empty_like(flat)
                taken[places] = np.repeat(other, own.size // other.size)
                ours.substitute(value, jax.numpy.asarray(taken.reshape(value.array.shape)))
                break


def _tables(graph: Graph, data: set[int]) -> list[Value]:
    """Floats that are made of constants, or closed over."""
    made = [v for n in graph.nodes for v in n.outputs if id(v) not in data]
    return [
        v
        for v in [*graph.closed, *made]
        if v.array.dtype == np.float64 and 1 < v.array.size <= 1 << 16
    ]


def _places(where: Any, places: Sequence[Any]) -> list[Any]:
    """Each other place once."""
    kept = {place.place: place for place in places if place.file and place.place != where.place}
    return list(kept.values())[:4]
