"""The formula pass: where ours computes something else, whatever is rounded where.

Both programs are replayed in float64 from the same numbers. Values are recognised by content within
a tolerance, so another order, layout or framework is no difference. What a wrong output was made
of, back to values that both have, holds the fault; the first value in it that the reference's can
be put in place of, so that what follows agrees, stands nearest to it. An edit of one operation that
makes that value right proves which one it is. Then the value is put right, and the next is looked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from parity.explain.align import Counterpart
from parity.explain.alike import alike, few
from parity.explain.content import ROUNDED, TOLERANCE, Contents, close_outputs, numbers
from parity.explain.edit import Edit
from parity.explain.edits import repairing
from parity.explain.everywhere import edit_everywhere
from parity.explain.findings import Finding
from parity.explain.graph import Graph, Value
from parity.explain.match import Knowledge, Matcher
from parity.explain.naming import Naming
from parity.explain.operands import Operands
from parity.explain.outputs import OutputComparison
from parity.explain.proofs import Proof, State, best_proof
from parity.explain.provenance import Provenance
from parity.explain.repair import applied
from parity.explain.repairs import Repairs
from parity.explain.replay import replay
from parity.explain.slices import Slice, from_data, slice_of
from parity.explain.tables import is_rounded, take_rounded
from parity.explain.trial import Budget, Trial
from parity.explain.weights import misloaded
from parity.program.jaxprs import Widening

_ROUNDS = 12
# How many operations all trials of edits, and all of repairs, may run again.
_MOST_REPAIRS = 300_000
_MOST_RUNS = 400_000
_ENDED = "the search was ended before its end: put right what is named, and run it again"


@dataclass(frozen=True)
class Formulas:
    """What float64 says of two programs.

    Attributes:
      same: the outputs agree to many digits.
      findings: departures in execution order. Of two programs of which one was written after the
        other none: the search by bits finds them in their own dtypes.
      alike: one was written after the other.
      few: they have so few operations that they can't be said to round nearly everywhere.
      notes: what is to be said of the search.
    """

    same: bool
    findings: list[Finding]
    alike: bool
    few: bool = False
    notes: tuple[str, ...] = ()


def formulas(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    apart: bool = False,
) -> Formulas:
    """Hold the formulas of two functions of the same arguments against each other.

    Args:
      apart: neither was written after the other, however alike they are.

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
        same, written_after = not wrong_outputs(*graphs), not apart and alike(*graphs)
        if same or written_after:
            return Formulas(same, [], written_after, few(*graphs))
        search = FormulaSearch(*graphs, Provenance(ours, given))
        found = search.findings()
        return Formulas(False, found, False, notes=(_ENDED,) if search.ended else ())


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
        self.ended = False
        self._found: list[Finding] = []
        self._budget = Budget(float(_MOST_RUNS))
        self._repairing = Budget(float(_MOST_REPAIRS))

    def findings(self) -> list[Finding]:
        """In execution order, doubtful ones last."""
        while self._weights():
            pass
        for _ in range(_ROUNDS):
            if not self._step():
                break
        self.ended = bool(self._found and self._wrong())
        proved = not (self._substituted or wrong_outputs(self._ours, self._reference))
        for finding in self._found:
            finding.kind, finding.wide = "formula", True
            if proved and finding.confidence != "low":
                finding.confidence = "high"
            finding.leads_to = self._ours.first_output(finding.node)
        return sorted(self._found, key=lambda f: (f.confidence == "low", f.node.index))

    def _weights(self) -> bool:
        """An array that was loaded in another order is put right before anything else."""
        wrong = self._wrong()
        found = misloaded(self._ours, self._matcher, wrong) if wrong else None
        if found is None:
            return False
        node = next(n for n in self._ours.nodes if found.value in n.inputs)
        where = self._provenance.array(found.value.array) or node.where
        line = Counterpart(found.value, found.twin, found.array, False, 1.0, True)
        self._found.append(
            Finding(
                node,
                where,
                line,
                found.value.array,
                found.array,
                "high",
                found.words,
                known=frozenset(self._known()),
                reference_known=self._matcher.known_to(self._ours),
            )
        )
        self._ours.substitute(found.value, jax.numpy.asarray(found.array))
        return True

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
        if not wrong or (self._found and self._repairing.left < 0):
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
            Naming(
                self._ours,
                self._matcher,
                known,
                self._data,
                self._provenance,
                {finding.where.place for finding in self._found},
            ),
            self._tolerance(part, theirs, known, contents),
        )
        repairs = Repairs(
            self._ours, self._matcher, part, theirs, known, self._data, self._repairing
        )
        best = best_proof(repairs, state, self._budget)
        if best is None or best.doubt:
            name, value = next(iter(wrong.items()))
            cone, target = part.cone(value), self._reference.outputs[name]
            trial = Trial(cone, value, target.array, self._budget, state.tolerance)
            edit = repairing(trial, state.operands)
            if edit is not None or best is None:
                self._last(name, state.naming.output(value, target, cone, edit), edit)
                return True
        self._settle(best, state)
        return True

    def _tolerance(self, part: Slice, theirs: Slice, known: set[int], contents: set[Any]) -> float:
        """Within which ours can be made the reference's: tables may be of float32."""
        marks = self._matcher.prints
        tables = [v for v in part.entering() if v.closed and id(v) not in known]
        tables += [v for v in theirs.entering() if v.closed and marks.of(v).content not in contents]
        return ROUNDED if any(is_rounded(v.array) for v in tables) else TOLERANCE

    def _settle(self, proof: Proof, state: State) -> None:
        edit = proof.edit
        finding = state.naming.finding(proof.repair, proof.cone, edit, state.theirs)
        if edit is None and self._substituted:
            finding.confidence = (
                "low"  # perhaps what a value put in place has left of an earlier one
            )
        self._found.append(finding)
        if edit is not None and edit.taken is not None:
            self._ours.edit(edit.nodes, edit.made)
        else:
            self._substituted |= edit is None
            applied(self._ours, state.part, proof.repair)
        if edit is not None and not edit.through and (edit.general or edit.taken is not None):
            edit_everywhere(edit, self._ours, self._matcher, state.known)

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
                # Few different elements, as of a mask, are known by where they stand; one alone,
                # as where all are clipped, by what it is made of.
                if has(mark) and (
                    mark.telling or (self._matcher.placed(mark) if _varied(value) else settled)
                ):
                    known.add(id(value))
                elif value.array.size <= 1 and id(value) not in self._data:
                    known.add(id(value))  # a number made of numbers: what uses it is judged
        return known


def _varied(value: Value) -> bool:
    flat = numbers(value.array).reshape(-1)
    return flat.size > 1 and bool((flat != flat[0]).any())


def _equal(ours: Any, reference: Any) -> bool:
    return close_outputs(numbers(ours), numbers(reference), ROUNDED)
