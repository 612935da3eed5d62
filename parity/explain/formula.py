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

from parity.explain.alike import alike, few
from parity.explain.blame import constants
from parity.explain.content import ROUNDED, Contents, close, numbers
from parity.explain.edit import Edit
from parity.explain.edits import repairing
from parity.explain.findings import Finding
from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Knowledge, Matcher
from parity.explain.naming import Naming
from parity.explain.operands import Operands
from parity.explain.outputs import OutputComparison
from parity.explain.proofs import Proof, State, best_proof
from parity.explain.provenance import Provenance
from parity.explain.repair import applied
from parity.explain.repairs import Repairs
from parity.explain.replay import replay
from parity.explain.slices import from_data, slice_of
from parity.explain.tables import take_rounded
from parity.explain.trial import Budget, Trial
from parity.program.jaxprs import Widening

_ROUNDS = 12
# How many operations all trials of edits, and all of repairs, may run again.
_MOST_REPAIRS = 1_000_000
_MOST_RUNS = 400_000


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
        search = FormulaSearch(*graphs, Provenance(ours, given))
        return Formulas(False, search.findings(), False)


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
      provenance: where constants of ours were made.
    """

    def __init__(self, ours: Graph, reference: Graph, provenance: Provenance) -> None:
        self._provenance = provenance
        self._ours = ours
        self._reference = reference
        self._matcher = Matcher(reference, Contents())
        self._data = from_data(ours)
        self._given_up: set[str] = set()
        # A value of the reference's stands in for one of ours, and no edit makes it.
        self._substituted = False
        self._found: list[Finding] = []
        self._budget = Budget(float(_MOST_RUNS))
        self._repairing = Budget(float(_MOST_REPAIRS))

    def findings(self) -> list[Finding]:
        for _ in range(_ROUNDS):
            if not self._step():
                break
        proved = not (self._substituted or wrong_outputs(self._ours, self._reference))
        for finding in self._found:
            finding.kind, finding.wide = "formula", True
            finding.confidence = "high" if proved else finding.confidence
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
        state = State(
            known,
            part,
            theirs,
            Operands(self._ours, self._matcher, known, theirs, self._data),
            Naming(self._ours, self._matcher, known, self._data, self._provenance),
        )
        repairs = Repairs(
            self._ours, self._matcher, part, theirs, known, self._data, self._repairing
        )
        best = best_proof(repairs, state, self._budget)
        if best is None or best.doubt:
            name, value = next(iter(wrong.items()))
            cone, target = part.cone(value), self._reference.outputs[name]
            edit = repairing(Trial(cone, value, target.array, self._budget), state.operands)
            if edit is not None or best is None:
                self._last(name, state.naming.output(value, target, cone, edit), edit)
                return True
        self._settle(best, state)
        return True

    def _settle(self, proof: Proof, state: State) -> None:
        edit = proof.edit
        finding = state.naming.finding(proof.repair, proof.cone, edit, state.theirs)
        self._found.append(finding)
        if edit is not None and edit.taken is not None:
            self._ours.edit(edit.nodes, edit.made)
        else:
            self._substituted |= edit is None
            applied(self._ours, state.part, proof.repair)
        if edit is not None and not edit.through and (edit.general or edit.taken is not None):
            self._everywhere(edit, state.known)

    def _last(self, name: str, finding: Finding | None, edit: Edit | None) -> None:
        """No value can be put right on the way to the output: an edit may show the place."""
        if finding is not None:
            self._found.append(finding)
        if edit is None:
            self._given_up.add(name)
        else:
            self._ours.edit(edit.nodes, edit.made)

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

    def _everywhere(self, edit: Edit, known: set[int]) -> None:
        """What one text does wrong it does wrong wherever it runs, but for what is right there."""
        first = edit.nodes[0]
        for node in self._ours.nodes:
            if node in edit.nodes:
                continue
            text = (node.where.place, node.operation, constants(node))
            if text == (first.where.place, first.operation, constants(first)):
                run = edit.made(dataclasses.replace(node))
                there = any(id(v) in known for v in node.outputs)
                if run is not None and self._belongs(node, run, edit, there):
                    node.run = run
                    self._ours.run_again(node)

    def _belongs(
        self, node: Node, run: Callable[..., Sequence[Any]], edit: Edit, there: bool
    ) -> bool:
        """It gives arrays of its shapes, and mostly ones that the reference has.

        Args:
          there: the reference has what the operation gives as it is.
        """
        arrays = _made(node, run)
        if arrays is None or not (there or edit.taken is not None):
            return arrays is not None
        mark = self._matcher.prints.found(arrays[0])
        return mark is not None and mark.telling and self._matcher.has(mark)


def _made(node: Node, run: Callable[..., Sequence[Any]]) -> Sequence[Any] | None:
    """What it gives on the node's inputs; None unless that has the shapes of the node's outputs."""
    try:
        arrays = run(*(v.array for v in node.inputs))
    except Exception:  # an edit may have no meaning on these shapes; libraries say so in many ways
        return None
    same = [np.shape(a) for a in arrays] == [v.array.shape for v in node.outputs]
    return arrays if same else None


def _equal(ours: Any, reference: Any) -> bool:
    return close(numbers(ours), numbers(reference), ROUNDED)
