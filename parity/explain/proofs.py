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
    """

    known: set[int]
    part: Slice
    theirs: Slice
    operands: Operands
    naming: Naming


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
        shown = self.edit is not None or self.cone is None or (single and self.repair.whole)
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
                return proofs[i]
    return min(proofs, key=lambda proof: proof.doubt, default=None)


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
        edit = search(Trial(proof.cone, value, array, share), state.operands)
    return dataclasses.replace(proof, edit=edit)


def _other_number(repair: Repair, state: State, budget: Budget) -> Edit | None:
    """The number that an operation should have which changes nothing, as times 1 does."""
    value, array = repair.places[0]
    nodes = state.naming.without_effect(value)
    if not nodes:
        return None
    trial = Trial(Slice(nodes, {id(v) for n in nodes for v in n.outputs}), value, array, budget)
    return next(iter(solved_constants(trial, nodes[:1])), None)
