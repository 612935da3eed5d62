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
from parity.explain.blame import constants
from parity.explain.content import ROUNDED, Contents, close, numbers
from parity.explain.edit import Edit
from parity.explain.edits import repairing
from parity.explain.findings import Finding, other_places
from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Knowledge, Matcher
from parity.explain.naming import Naming
from parity.explain.outputs import OutputComparison
from parity.explain.repair import Repair, applied
from parity.explain.repairs import Repairs
from parity.explain.replay import replay
from parity.explain.slices import Slice, from_data, slice_of
from parity.explain.tables import take_rounded
from parity.program.jaxprs import Widening

_ROUNDS = 12


@dataclass(frozen=True)
class Formulas:
    """What float64 says of two programs.

    Attributes:
      same: the outputs agree to many digits.
      findings: departures in execution order. Of two programs of which one was written after the
        other none: the search by bits finds them in their own dtypes.
      alike: one was written after the other.
      few: they have so few operations that they can't be said to round nearly everywhere.
    """

    same: bool
    findings: list[Finding]
    alike: bool
    few: bool = False


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
        take_rounded(*graphs)
        same, written_after = not wrong_outputs(*graphs), alike(*graphs)
        if same or written_after:
            return Formulas(same, [], written_after, few(*graphs))
        return Formulas(False, FormulaSearch(*graphs).findings(), False)


def wrong_outputs(ours: Graph, reference: Graph) -> dict[str, Value]:
    """Our outputs that are not the reference's, by name, as far as constants may be rounded."""
    return {
        name: value
        for name, value in ours.outputs.items()
        if not _equal(value.array, reference.outputs[name].array)
    }


class FormulaSearch:
    """Finds departures one after the other; values of `ours` are put right on the way.

    Args:
      ours, reference: replayed in float64, without what no output depends on; to be searched with
        x64 enabled.
    """

    def __init__(self, ours: Graph, reference: Graph) -> None:
        self._ours = ours
        self._reference = reference
        self._matcher = Matcher(reference, Contents())
        self._data = from_data(ours)
        self._given_up: set[str] = set()
        self._found: list[Finding] = []

    def findings(self) -> list[Finding]:
        for _ in range(_ROUNDS):
            if not self._step():
                break
        for finding in self._found:
            finding.kind, finding.wide = "formula", True
            finding.leads_to = self._ours.first_output(finding.node)
        return sorted(self._found, key=lambda finding: finding.node.index)

    def _wrong(self) -> dict[str, Value]:
        return {
            name: value
            for name, value in wrong_outputs(self._ours, self._reference).items()
            if name not in self._given_up
        }

    def _step(self) -> bool:
        known = self._known()
        self._outputs(known)
        wrong = self._wrong()
        if not wrong:
            return False
        part = slice_of(self._ours.nodes, wrong.values(), lambda v: id(v) in known)
        contents = {self._matcher.prints.of(v).content for v in self._ours.values()}
        theirs = slice_of(
            self._reference.nodes,
            [self._reference.outputs[name] for name in wrong],
            lambda v: v.constant or self._matcher.prints.of(v).content in contents,
        )
        repair = Repairs(self._ours, self._matcher, part, theirs, known, self._data).first()
        if repair is not None:
            self._settle(repair, part, theirs, known)
        else:
            self._last(wrong, part, known)
        return True

    def _outputs(self, known: set[int]) -> None:
        """What is right on the way to an output, and wrong as the output."""
        knowledge = Knowledge(known, known, set(), set())
        compared = OutputComparison(self._ours, self._matcher, knowledge, _equal)
        told = set(self._ours.outputs) - set(self._wrong())
        for finding in compared.findings(told, set()):
            self._found.append(finding)
            self._given_up |= set(finding.outputs)

    def _known(self) -> set[int]:
        """Ids of our values that the reference has, and that can't be so by chance."""
        known = {id(v) for v in self._ours.inputs}
        marks, has = self._matcher.prints, self._matcher.has
        for value in self._ours.closed:
            if has(marks.of(value)) or not marks.of(value).telling:
                known.add(id(value))
        for node in self._ours.nodes:
            settled = all(v.constant or id(v) in known for v in node.inputs)
            for value in node.outputs:
                mark = marks.of(value)
                # Few different elements, as of a mask, are known by where they stand.
                placed = self._matcher.placed(mark) if value.array.size > 1 else settled
                if has(mark) and (mark.telling or placed):
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
        naming = Naming(self._ours, self._matcher, known, self._data)
        self._found.append(naming.finding(repair, cone, edit, theirs))
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

    def _last(self, wrong: dict[str, Value], part: Slice, known: set[int]) -> None:
        """No value can be put right on the way to the outputs: an edit may show the place."""
        name, value = next(iter(wrong.items()))
        self._given_up.add(name)
        target = self._reference.outputs[name]
        cone = part.cone(value)
        edit = repairing(cone, value, target.array, self._others(cone, known))
        counterpart = Counterpart(value, target, target.array, False, 0.0, False, output=True)
        node: Node | None
        if edit is not None:
            node, words = edit.nodes[0], f"{edit.words}, our output agrees"
        else:
            ends = [None, *cone.nodes]
            node = _origin(cone, known, self._data) or ends[-1]
            words = "its inputs are the reference's, and nothing after it is"
        if node is None:
            return
        foreign = [v for v in node.inputs if v.closed and id(v) not in known]
        if edit is None and foreign:
            words = f"our {foreign[0].name} is none of the reference's values"
        self._found.append(
            Finding(
                node,
                node.where,
                counterpart,
                value.array,
                target.array,
                "low" if edit is None else "high" if edit.general else "medium",
                words,
                other_places(node.where, [n.where for n in cone.nodes]),
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


def _origin(cone: Slice, known: set[int], data: set[int]) -> Node | None:
    """The first operation on data whose inputs are known."""
    for node in cone.nodes:
        inputs = [v for v in node.inputs if not v.constant]
        settled = all(id(v) in known or id(v) not in data or v.closed for v in inputs)
        if settled and any(id(v) in data for v in inputs):
            return node
    return None
