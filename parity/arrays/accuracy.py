"""Which of two results is nearer to the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from parity.arrays.profile import stride

# A share of elements farther from the truth than chance would have it less often than this.
FALSE_ALARM = 1e-6
# Each rounding of the reference may be accompanied by one more of the same size, which doubles the
# variance of the error.
TOLERATED_RATIO = math.sqrt(2)
# Of that many elements, each standing for as many others, the errors are ranked: sorting all would
# take longer than everything else here.
_RANKED = 1 << 13
_QUANTILES = 33


@dataclass(frozen=True)
class ErrorQuantiles:
    """Quantiles of result - oracle at 33 shares from 0 to 1, for a QQ plot of two sides.

    Attributes:
      sampled: n: of every n-th element.
    """

    ours: tuple[float, ...]
    reference: tuple[float, ...]
    sampled: int


@dataclass(frozen=True)
class Accuracy:
    """Errors of ours and of the reference against an oracle, both exact in float64.

    Attributes:
      ours, reference: sqrt(Σ error² / Σ oracle²) over all elements; None where the oracle is 0.
      ratio: of the two, ours over the reference's; None where the reference makes no error.
      ratio_where: ratio of the root mean square errors over the elements whose bits differ.
      farther, nearer: how many of those lie farther from the oracle than the reference's do.
      errors: how the signed errors of both are distributed; None where there is nothing to rank.
    """

    ours: float | None
    reference: float | None
    ratio: float | None
    ratio_where: float | None
    farther: int
    nearer: int
    errors: ErrorQuantiles | None = None

    @property
    def decisive(self) -> bool:
        """So many elements differ that `worse` can be true: if each were farther, n > 2 ln(1/p).

        With a share of 1, exp(-2n(1 - 1/2)²) falls below p = FALSE_ALARM from there on.
        """
        return self.farther + self.nearer > -2 * math.log(FALSE_ALARM)

    @property
    def worse(self) -> bool:
        """Ours is less accurate than a rounding elsewhere can make it.

        Two roundings of one formula take turns in being nearer to its value, and each of n elements
        that differ is farther with a chance of 1/2: a share of s or more has a probability of at
        most exp(-2n(s - 1/2)²) (Hoeffding 1963). Worse is what that can't explain (FALSE_ALARM) and
        what is larger than twice as many roundings would make it (TOLERATED_RATIO).
        """
        count = self.farther + self.nearer
        if count == 0 or self.ratio_where is None or self.farther <= self.nearer:
            return False
        excess = self.farther / count - 0.5
        unlikely = -2 * count * excess**2 < math.log(FALSE_ALARM)
        return unlikely and self.ratio_where > TOLERATED_RATIO


def accuracy(truth: np.ndarray, ours: np.ndarray, reference: np.ndarray) -> Accuracy:
    """Compare both with the truth, over the elements where all three are finite.

    Args:
      truth: of any float dtype; reference, ours: of one dtype, all of one shape.
    """
    exact, a, b = (_wide(x) for x in (truth, reference, ours))
    finite = np.isfinite(exact) & np.isfinite(a) & np.isfinite(b)
    if not finite.all():
        exact, a, b = exact[finite], a[finite], b[finite]
    error_a, error_b = np.abs(a - exact), np.abs(b - exact)
    where = a != b
    size, square_a, square_b = (float(np.dot(x, x)) for x in (exact, error_a, error_b))
    here_a, here_b = error_a[where], error_b[where]
    return Accuracy(
        ours=_root(square_b, size),
        reference=_root(square_a, size),
        ratio=_root(square_b, square_a),
        ratio_where=_root(float(np.dot(here_b, here_b)), float(np.dot(here_a, here_a))),
        farther=int(np.count_nonzero(here_b > here_a)),
        nearer=int(np.count_nonzero(here_b < here_a)),
        errors=error_quantiles(exact, b, a) if exact.size else None,
    )


def error_quantiles(truth: np.ndarray, ours: np.ndarray, reference: np.ndarray) -> ErrorQuantiles:
    """Of results against a truth: arrays of one dtype, flat, finite, of at least one element."""
    step = stride(truth.size, truth.size, _RANKED)
    shares = np.linspace(0, 1, _QUANTILES)
    own, theirs = (
        tuple(np.quantile(x[::step] - truth[::step], shares).tolist()) for x in (ours, reference)
    )
    return ErrorQuantiles(own, theirs, step)


def share_of_bound(a: np.ndarray, b: np.ndarray, bound: np.ndarray) -> float | None:
    """The largest |a - b| / bound of any element, at most 1 where the bound holds everywhere.

    No difference is never too large; a difference is infinitely too large for a bound of 0. None
    if an element that differs has an infinite bound.
    """
    wide_a, wide_b, limit = _wide(a), _wide(b), _wide(bound)
    with np.errstate(invalid="ignore"):
        difference = np.abs(wide_a - wide_b)
    # Two infinities of a sign, or two NaNs, don't differ, though they have no difference.
    difference[(wide_a == wide_b) | (np.isnan(wide_a) & np.isnan(wide_b))] = 0.0
    if limit.size < difference.size:  # of a complex number each part has the bound of the whole
        limit = np.repeat(limit, 2)
    where = np.flatnonzero(difference)
    if not where.size:
        return 0.0
    if np.isinf(limit[where]).any():
        return None
    with np.errstate(divide="ignore"):
        return float((difference[where] / limit[where]).max())


def _root(over: float, under: float) -> float | None:
    return math.sqrt(over / under) if under > 0 else None


def _wide(x: np.ndarray) -> np.ndarray:
    """Flat, in float64; complex numbers as their two parts."""
    x = np.asarray(x)
    if np.iscomplexobj(x):
        return np.ascontiguousarray(x, np.complex128).view(np.float64).reshape(-1)
    return x.astype(np.float64).reshape(-1)
