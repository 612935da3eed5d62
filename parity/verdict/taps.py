"""What is known of one tap of one column: how it differs, what was made there, and a status."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.arrays.accuracy import Accuracy
from parity.arrays.metrics import Metrics
from parity.arrays.profile import Profile

# identical     every bit is the same
# rounding      bits differ; explained by rounding the same formula in another place or order
# unjudged      bits differ; nothing decides why: no rule, no oracle, or it was not examined
# diverged      bits differ, and rounding does not explain it
# nonfinite     some differing element is Inf or NaN on a side
# shape, dtype  the two arrays can't be compared element by element
# missing       the reference recorded this tap, this column did not
# not_compared  the reference can't yield this tap
Status = Literal[
    "identical",
    "rounding",
    "unjudged",
    "diverged",
    "nonfinite",
    "shape",
    "dtype",
    "missing",
    "not_compared",
]
COMPARED: frozenset[Status] = frozenset(
    ("identical", "rounding", "unjudged", "diverged", "nonfinite")
)


@dataclass(frozen=True)
class StageError:
    """What is made between a tap and the taps before it, all of which hold the reference's values.

    Attributes:
      metrics: against the reference under the same injection.
      bound_share: largest difference over the bound of two roundings in the model's dtypes; None
        where no bound is known.
      formula_share: largest difference of the two sides' oracles over the bound of two roundings
        in the oracle's dtype: more than 1 is another formula. None where that was not evaluated.
      accuracy: errors of both sides against the reference's oracle.
      kernels: the same with, for the reference, its formula on our kernels; None where the
        reference itself runs on them.
      unruled: operations whose error no rule bounds, where that is why no bound is known.
      relieved: it is within its bound only if ours may round at places of its own.
      whole: both sides ran as they are on these values; not pieces that stand for parts of them.
    """

    metrics: Metrics
    bound_share: float | None = None
    formula_share: float | None = None
    accuracy: Accuracy | None = None
    kernels: Accuracy | None = None
    unruled: tuple[str, ...] = ()
    relieved: bool = False
    whole: bool = False

    @property
    def less_accurate(self) -> bool:
        """Ours is farther from the oracle than the reference, and not by its kernels alone."""
        if self.accuracy is None or not self.accuracy.worse:
            return False
        return self.kernels is None or self.kernels.worse

    @property
    def examined(self) -> bool:
        """An oracle was asked, or nothing differs, so that there is nothing to ask."""
        return self.metrics.mismatched == 0 or self.accuracy is not None


@dataclass(frozen=True)
class TapDiff:
    """One tap of one column.

    Attributes:
      metrics: of the column as it ran (`free`); None where nothing could be compared.
      accuracy: of the same, errors of both sides against the oracle as it ran.
      local: made in this block, on the reference's value at the block's input; None if not run.
      stage: made since the taps before this one; None if not run.
      floor: the largest difference of a side from itself; None if not measured.
      profile: the shape of the difference of `metrics`; None where no bit differs.
    """

    tap: str
    status: Status
    reason: str = ""
    metrics: Metrics | None = None
    accuracy: Accuracy | None = None
    local: Metrics | None = None
    stage: StageError | None = None
    floor: Metrics | None = None
    profile: Profile | None = None

    @property
    def made_here(self) -> Metrics | None:
        """The local error: of the block if that was measured, else of the stage."""
        if self.local is not None:
            return self.local
        return None if self.stage is None else self.stage.metrics

    @property
    def inherited(self) -> float | None:
        """Relative L2 error that came in with the input: free less local, in quadrature.

        That is exact where what is made here is orthogonal to what came in, as independent
        roundings nearly are; it is an estimate elsewhere.
        """
        local = self.made_here
        if self.metrics is None or local is None:
            return None
        if self.metrics.rel_l2 is None or local.rel_l2 is None:
            return None
        return math.sqrt(max(self.metrics.rel_l2**2 - local.rel_l2**2, 0.0))


@dataclass(frozen=True)
class Explained:
    """What was found for a column, as a report shows it.

    Attributes:
      causes: in execution order; JSON-like data, see `parity.explain.document`.
      same_formula: both compute the same in float64; None where that isn't known.
      notes: what was seen and has no cause.
      text: all of it in words, for 80 columns.
    """

    causes: Sequence[Mapping[str, Any]]
    same_formula: bool | None
    notes: Sequence[str]
    text: str
