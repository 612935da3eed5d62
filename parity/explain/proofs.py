"""Which of the possible repairs to believe: the one that an edit of ours does as well."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from parity.explain.constants import solved_constants
from parity.explain.edit import Edit
from parity.explain.edits import changing, inserting
from parity.explain.naming import Naming
from parity.explain.operands import Operands
from parity.explain.repair import Repair
from parity.explain.repairs import Repairs
from parity.explain.slices import Slice
from parity.explain.trial import Budget, Trial

# How many repairs are looked into for one that an edit proves, and what of the budget each may use.
_REPAIRS = 8
_SHARE = 0.2


@dataclass(frozen=True)
class State:
    """What is known before a departure is looked for.

    Attributes:
      known: ids of our values that the reference has.
      part, theirs: what leads to wrong outputs, ours and the reference's.
      tolerance: within which an edit has to give what is wanted.
    """

    known: set[int]
    part: Slice
    theirs: Slice
    operands: Operands
    naming: Naming
    tolerance: float


@dataclass(frozen=True)
class Proof:
    """A repair, what its value was made by, and an edit there that does the same."""

    repair: Repair
    cone: Slice | None
    edit: Edit | None

    @property
    def doubt(self) -> int:
        """0 where an output is right and the operation at fault is shown, 1 for one of the two."""
        single = self.cone is not None and len(self.cone.nodes) <= 1
        shown = self.edit is not None or self.cone is None or self.repair.kind == "too many"
        shown |= single and self.repair.whole
        return 2 - self.repair.whole - shown


def best_proof(repairs: Repairs, state: State, budget: Budget) -> Proof | None:
    """Of the first repairs in execution order the one of least doubt; None where there is none.

    Edits of what is there are tried for all of them before an operation more is for any.
    """
    proofs = [
        Proof(repair, _cone(repair, state), None)
        for repair in itertools.islice(repairs.found(), _REPAIRS)
    ]
    for search in (changing, inserting):
        for i, proof in enumerate(proofs):
            if proof.edit is None:
                proofs[i] = _proved(proof, search, state, budget)
            if not proofs[i].doubt:
                return _of_what_is_given(proofs[i], repairs, state)
    # Of two steps in the wrong order one is left out before the other, which is one too many there.
    return min(proofs, key=lambda p: (p.doubt, p.repair.kind == "left out"), default=None)


def _of_what_is_given(proof: Proof, repairs: Repairs, state: State) -> Proof:
    """The operation may be right, and what it is given in other places, or not yet worked on."""
    if proof.edit is not None or proof.repair.kind != "made":
        return proof
    repair = repairs.read_wrongly(proof.repair.node)
    return proof if repair is None else Proof(repair, _cone(repair, state), None)


def _cone(repair: Repair, state: State) -> Slice | None:
    value = repair.places[0][0]
    if id(value) in state.part.members:
        return state.part.cone(value)
    return None


def _proved(
    proof: Proof,
    search: Callable[[Trial, Operands], Edit | None],
    state: State,
    budget: Budget,
) -> Proof:
    """The same with an edit, if one is found."""
    value, array = proof.repair.places[0]
    if proof.repair.kind == "left out" and search is changing:
        return dataclasses.replace(proof, edit=_other_number(proof.repair, state, budget))
    if proof.cone is None or proof.repair.kind not in ("made", "together"):
        return proof
    with budget.part(_SHARE) as share:
        edit = search(Trial(proof.cone, value, array, share, state.tolerance), state.operands)
    return dataclasses.replace(proof, edit=edit and _in_all(edit, proof.repair, state))


def _in_all(edit: Edit, repair: Repair, state: State) -> Edit:
    """The edit of all values that are repaired together, as of a table that is made twice."""
    first = edit.nodes[0]
    made = [node for value, _ in repair.places[1:] for node in state.part.cone(value).nodes]
    same = [
        node
        for node in made
        if (node.where.place, node.operation, node.slot)
        == (first.where.place, first.operation, first.slot)
    ]
    return dataclasses.replace(edit, nodes=tuple(dict.fromkeys((*edit.nodes, *same))))


def _other_number(repair: Repair, state: State, budget: Budget) -> Edit | None:
    """The number that an operation should have which changes nothing, as times 1 does."""
    value, array = repair.places[0]
    nodes = state.naming.without_effect(value)
    if not nodes:
        return None
    part = Slice(nodes, {id(v) for n in nodes for v in n.outputs})
    trial = Trial(part, value, array, budget, state.tolerance)
    return next(iter(solved_constants(trial, nodes[:1])), None)
