"""The shape of a difference: how far, at what magnitudes, at which tokens.

Where more elements differ than `_LIMIT`, every n-th element of the array stands for all, and
`sampled` says n. n has no divisor in common with the array's size, so that it steps through every
channel. Few differing elements are all looked at, however large the array is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from parity.arrays.metrics import bits, parts, ulp_distance

# Elements looked at one by one: their cost stays below that of the figures of a large array.
_LIMIT = 1 << 17
_MAGNITUDES = 40
_TOKEN_CELLS = 128
_POWERS = 2 ** np.arange(64, dtype=np.uint64)


@dataclass(frozen=True)
class Magnitude:
    """Errors of the elements whose |reference| lies in [2^exponent, 2^(exponent+1)).

    Attributes:
      exponent: None for those where the reference is 0. The lowest one holds all smaller values
        too, where more than 40 occur.
      count: elements of that magnitude; `Profile.counted` says of how many.
      mismatched: those whose bits differ, finite on both sides.
      max_abs, mean_abs: of |ours - reference| over the mismatched.
    """

    exponent: int | None
    count: int
    mismatched: int
    max_abs: float
    mean_abs: float


@dataclass(frozen=True)
class TokenGrid:
    """Differences by row of the batch and by position; tuples of B tuples.

    Attributes:
      positions: T.
      bucket: positions per cell, so that there are at most 128 cells; the last of a row may hold
        fewer.
      mismatched: elements whose bits differ.
      max_abs: the largest finite |ours - reference|.
    """

    positions: int
    bucket: int
    mismatched: tuple[tuple[int, ...], ...]
    max_abs: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Profile:
    """How a pair of arrays differs.

    Attributes:
      sampled: n: all but `count` is over every n-th element (1: over all).
      counted: m: `count` in `by_magnitude` is over every m-th element.
      ulp_histogram: elements at distance 0, 1, 2 to 3, 4 to 7 and so on: bin k is
        [2^(k-1), 2^k). Empty for dtypes that are no floats.
      by_magnitude: ascending; only magnitudes that occur.
      by_token: None where the array's first axes aren't those of the tokens.
    """

    sampled: int
    counted: int
    ulp_histogram: tuple[int, ...]
    by_magnitude: tuple[Magnitude, ...]
    by_token: TokenGrid | None


# Signalling NaNs become quiet ones, and errors of huge values infinite: neither is news.
@np.errstate(over="ignore", invalid="ignore")
def profile(
    ours: np.ndarray,
    reference: np.ndarray,
    mismatched: int,
    tokens: tuple[int, int] | None = None,
) -> Profile:
    """The profile of `ours` against `reference`, some bits of which differ.

    Args:
      reference, ours: of one shape and one dtype.
      mismatched: how many elements differ, at least 1; `compare_arrays` has counted them.
      tokens: B and T: an array whose first two axes have these sizes is profiled by token.
    """
    if reference.dtype.kind == "c":
        ours, reference = parts(ours), parts(reference)
    shape = reference.shape
    a, b = (np.ascontiguousarray(array).reshape(-1) for array in (reference, ours))
    sampled = stride(mismatched, a.size, _LIMIT)
    where = _differing(a, b, sampled)
    if not where.size:  # all lie between the steps
        sampled, where = 1, _differing(a, b, 1)
    looked_at = -(-a.size // sampled)
    old, new = a[where], b[where]
    wide_old, wide_new = old.astype(np.float64), new.astype(np.float64)
    error = np.abs(wide_new - wide_old)
    finite = np.isfinite(error)
    distances = ulp_distance(old[finite], new[finite]) if reference.dtype.kind in "fV" else None
    counted = max(sampled, stride(a.size, a.size, _LIMIT))
    every = np.abs(a[::counted].astype(np.float64))
    return Profile(
        sampled,
        counted,
        () if distances is None else _histogram(distances, looked_at - where.size),
        _by_magnitude(every[np.isfinite(every)], np.abs(wide_old[finite]), error[finite]),
        None
        if tokens is None or shape[:2] != tokens or tokens[0] > _TOKEN_CELLS
        else _by_token(where, np.where(finite, error, 0.0), shape),
    )


def _differing(a: np.ndarray, b: np.ndarray, step: int) -> np.ndarray:
    return np.flatnonzero(bits(a)[::step] != bits(b)[::step]) * step


def stride(wanted: int, size: int, limit: int) -> int:
    """A step through `size` elements that visits at most `limit` of the wanted, and every channel.

    Elements to be visited are taken to lie anywhere; the step has no divisor in common with `size`.
    """
    step = -(-wanted // limit)
    while math.gcd(step, size) > 1:
        step += 1
    return step


def _histogram(distances: np.ndarray, equal: int) -> tuple[int, ...]:
    powers = _POWERS[: 8 * distances.itemsize].astype(distances.dtype)
    bins = np.bincount(np.searchsorted(powers, distances, side="right"), minlength=1)
    return equal + int(bins[0]), *(int(count) for count in bins[1:])


def _by_magnitude(
    every: np.ndarray, reference: np.ndarray, error: np.ndarray
) -> tuple[Magnitude, ...]:
    """Args: magnitudes of all elements counted; those, and the errors, of the mismatched."""
    of_every, of_error = _places(every), _places(reference)
    count = np.bincount(of_every, minlength=_PLACES)
    mismatched = np.bincount(of_error, minlength=_PLACES)
    total = np.bincount(of_error, error, minlength=_PLACES)
    largest = np.zeros(_PLACES)
    np.maximum.at(largest, of_error, error)
    present = np.flatnonzero(count + mismatched)
    smaller, kept = np.split(present[present > 0], [-_MAGNITUDES])
    if smaller.size:
        for sums in (count, mismatched, total):
            sums[kept[0]] += sums[smaller].sum()
        largest[kept[0]] = max(largest[kept[0]], largest[smaller].max())
    return tuple(
        Magnitude(
            int(place) + _LOWEST if place else None,
            int(count[place]),
            int(mismatched[place]),
            float(largest[place]),
            float(total[place] / mismatched[place]) if mismatched[place] else 0.0,
        )
        for place in (*present[present == 0], *kept)
    )


# Place 0 is that of the value 0; those of float64's exponents, subnormal ones included, follow.
_LOWEST = -1075
_PLACES = 1024 - _LOWEST


def _places(magnitude: np.ndarray) -> np.ndarray:
    return np.where(magnitude > 0, np.frexp(magnitude)[1] - 1 - _LOWEST, 0)


def _by_token(where: np.ndarray, error: np.ndarray, shape: tuple[int, ...]) -> TokenGrid:
    rows, positions = shape[:2]
    cells = max(1, _TOKEN_CELLS // rows)
    bucket = -(-positions // cells)
    cells = -(-positions // bucket)
    token = where // math.prod(shape[2:])
    at = token // positions * cells + token % positions // bucket
    mismatched = np.bincount(at, minlength=rows * cells).reshape(rows, cells)
    largest = np.zeros(rows * cells)
    np.maximum.at(largest, at, error)
    return TokenGrid(
        positions,
        bucket,
        tuple(map(tuple, mismatched.tolist())),
        tuple(map(tuple, largest.reshape(rows, cells).tolist())),
    )
