"""Which of the possible repairs to believe: the one that an edit of ours does as well."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from parity.explain.edit import Edit
from parity.explain.edits import repairing
from parity.explain.naming import Naming
from parity.explain.operands import Operands
from parity.explain.repair import Repair
from parity.explain.repairs import Repairs
from parity.explain.slices import Slice
from parity.explain.trial import Budget, Trial

# How many repairs are looked into for one that an edit proves.
_REPAIRS = 4


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
        """0 where an output is right and the operation at fault is shown; then 1, 2, 3."""
        shown = self.edit is not None or self.cone is None or len(self.cone.nodes) <= 1
        if self.repair.whole:
            return 0 if shown else 1
        return 2 if self.edit is not None else 3


def best_proof(repairs: Repairs, state: State, budget: Budget) -> Proof | None:
    """Of the first repairs in execution order the one of least doubt; None where there is none."""
    best: Proof | None = None
    for repair in itertools.islice(repairs.found(), _REPAIRS):
        value, array = repair.places[0]
        cone = state.part.cone(value) if id(value) in state.part.members else None
        edit: Edit | None = None
        if cone is not None and repair.kind in ("made", "together"):
            edit = repairing(Trial(cone, value, array, budget), state.operands)
        proof = Proof(repair, cone, edit)
        if best is None or proof.doubt < best.doubt:
            best = proof
        if not best.doubt:
            break
    return best
