"""Every figure of a pair of arrays, in one pass over their bits.

Conventions
- An element is *mismatched* when its bits differ. So +0 against -0 is a mismatch (`zero_sign`
  counts those: their error and ULP distance are 0), and so are two NaNs of different payload
  (`nan_payload` counts those).
- The other figures are over elements that are finite on both sides; `nonfinite` counts the
  mismatched elements that are not (an Inf or a NaN on a side, `nan_payload` included).
- Relative error is |ours - reference| / |reference| where the reference is not 0.
- ULP distance is the number of representable values of the array's own dtype between the two;
  -0 and +0 count as one value. `p99_ulp` is the nearest-rank percentile over all finite elements.
- `rel_l2` is sqrt(sum (ours - reference)² / sum reference²) over all finite pairs.
- Of a complex array the two parts of each number are compared: it has twice as many elements.
- Cosine and signal-to-noise ratio, `10 log10(sum reference² / sum (ours - reference)²)` dB, are
  over all finite pairs; these three are None where a norm is 0 (and the ratio without noise).

Sums are taken in float32 within a chunk and in float64 across chunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

# Elements per step: its working set stays in a core's L2 cache.
_CHUNK = 1 << 16
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True)
class Metrics:
    """Figures of one pair; see the module for conventions. `max_abs_at` is an index, C order."""

    size: int
    mismatched: int = 0
    zero_sign: int = 0
    nan_payload: int = 0
    nonfinite: int = 0
    max_abs: float = 0.0
    max_abs_at: tuple[int, ...] | None = None
    reference_at_max: float | None = None
    ours_at_max: float | None = None
    mean_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int | None = 0
    p99_ulp: int | None = 0
    rel_l2: float | None = 0.0
    cosine: float | None = 1.0
    snr_db: float | None = None


@dataclass
class _Sums:
    """What is accumulated from chunk to chunk, over finite pairs but for the first three."""

    mismatched: int = 0
    nan_payload: int = 0
    nonfinite: int = 0
    finite: int = 0
    abs_error: float = 0.0
    max_abs: float = -1.0
    max_at: int = -1
    max_rel: float = 0.0
    reference_square: float = 0.0
    ours_square: float = 0.0
    product: float = 0.0
    error_square: float = 0.0
    # Distances of the elements that were looked at one by one; room for all, filled up to `seen`.
    ulps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    seen: int = 0


# Signalling NaNs become quiet ones, and sums of huge float64 values infinite: neither is news.
@np.errstate(over="ignore", invalid="ignore")
def compare_arrays(ours: np.ndarray, reference: np.ndarray) -> Metrics:
    """Figures of `ours` against `reference`.

    Args:
      reference, ours: of one shape and one dtype: float (bfloat16 and float8 included), integer
        or bool; ULP figures are None where the dtype is no float.

    Raises:
      ValueError: shape or dtype differ.
    """
    if reference.shape != ours.shape or reference.dtype != ours.dtype:
        raise ValueError(
            f"arrays must agree in shape and dtype, got {reference.dtype}{list(reference.shape)} "
            f"and {ours.dtype}{list(ours.shape)}"
        )
    if reference.dtype.kind == "c":
        ours, reference = parts(ours), parts(reference)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (reference, ours)]
    chunks = [slice(start, start + _CHUNK) for start in range(0, reference.size, _CHUNK)]
    equal = [_same_bits(flat[0][chunk], flat[1][chunk]) for chunk in chunks]
    is_float = _is_float(reference.dtype)
    if all(equal):
        ulp = 0 if is_float else None
        return Metrics(size=reference.size, max_ulp=ulp, p99_ulp=ulp)
    sums = _Sums(ulps=np.empty(reference.size if is_float else 0, bits(flat[0]).dtype))
    for chunk, same in zip(chunks, equal, strict=True):
        _add_chunk(sums, flat[0][chunk], flat[1][chunk], chunk.start, same)
    return _finish(sums, reference, flat[0], flat[1])


def _add_chunk(
    sums: _Sums, reference: np.ndarray, ours: np.ndarray, start: int, same: bool
) -> None:
    wide_reference = _widen(reference)
    square = _dot(wide_reference, wide_reference)
    where: np.ndarray | None = None
    mismatched = 0
    if not same:
        differs = bits(reference) != bits(ours)
        mismatched = int(np.count_nonzero(differs))
        # Where most differ, gathering those would cost more than the zero errors of the rest.
        where = None if 4 * mismatched > reference.size else np.flatnonzero(differs)
    sums.mismatched += mismatched
    ref, own = (reference, ours) if where is None else (reference[where], ours[where])
    wide_ref = wide_reference if where is None else _widen(ref)
    wide_own = wide_reference if same else _widen(own)
    # Both sides share what doesn't differ, so its squares need no second look.
    shared = square - _dot(wide_ref, wide_ref)
    own_square = _dot(wide_own, wide_own)
    if not math.isfinite(square + own_square):
        _add_nonfinite_chunk(sums, reference, ours, start)
        return
    sums.finite += reference.size
    sums.reference_square += square
    sums.ours_square += shared + own_square
    sums.product += shared + _dot(wide_ref, wide_own)
    if not same:
        _add_errors(sums, wide_ref, wide_own, ref, own, start if where is None else start + where)


def _add_nonfinite_chunk(sums: _Sums, reference: np.ndarray, ours: np.ndarray, start: int) -> None:
    """A chunk with Inf or NaN, or with values too large to square in float32: in float64."""
    wide = [array.astype(np.float64) for array in (reference, ours)]
    finite = np.isfinite(wide[0]) & np.isfinite(wide[1])
    both_nan = np.isnan(wide[0]) & np.isnan(wide[1])
    differs = bits(reference) != bits(ours)
    sums.finite += int(np.count_nonzero(finite))
    sums.nonfinite += int(np.count_nonzero(differs & ~finite))
    sums.nan_payload += int(np.count_nonzero(differs & both_nan))
    a, b = (np.where(finite, array, 0.0) for array in wide)
    sums.reference_square += _dot(a, a)
    sums.ours_square += _dot(b, b)
    sums.product += _dot(a, b)
    where = np.flatnonzero(differs & finite)
    if where.size:
        _add_errors(sums, a[where], b[where], reference[where], ours[where], start + where)


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.dot(x, y))


def _add_errors(
    sums: _Sums,
    wide_reference: np.ndarray,
    wide_ours: np.ndarray,
    reference: np.ndarray,
    ours: np.ndarray,
    positions: np.ndarray | int,
) -> None:
    """Add the errors of finite elements at `positions`, or at that one and the next ones."""
    error = wide_reference - wide_ours
    sums.error_square += _dot(error, error)
    np.abs(error, out=error)
    worst = int(error.argmax())
    if float(error[worst]) > sums.max_abs:
        sums.max_abs = float(error[worst])
        at = positions + worst if isinstance(positions, int) else positions[worst]
        sums.max_at = int(at)
    sums.abs_error += float(error.sum())
    magnitude = np.abs(wide_reference)
    zero = magnitude == 0
    if zero.any():
        magnitude[zero] = np.inf
    np.divide(error, magnitude, out=error)
    sums.max_rel = max(sums.max_rel, float(error.max()))
    if _is_float(reference.dtype):
        room = sums.ulps[sums.seen : sums.seen + reference.size]
        ulp_distance(reference, ours, out=room)
        sums.seen += reference.size


def _finish(
    sums: _Sums, reference: np.ndarray, flat_reference: np.ndarray, flat_ours: np.ndarray
) -> Metrics:
    is_float = _is_float(reference.dtype)
    ulps = sums.ulps[: sums.seen]
    norms = math.sqrt(sums.reference_square) * math.sqrt(sums.ours_square)
    noisy = sums.error_square > 0 and sums.reference_square > 0
    found = sums.max_at >= 0
    return Metrics(
        size=reference.size,
        mismatched=sums.mismatched,
        # Finite, of other bits, and no value lies between: the two zeros.
        zero_sign=sums.mismatched - sums.nonfinite - int(np.count_nonzero(ulps)) if is_float else 0,
        nan_payload=sums.nan_payload,
        nonfinite=sums.nonfinite,
        max_abs=max(sums.max_abs, 0.0),
        max_abs_at=_index(sums.max_at, reference.shape) if found else None,
        reference_at_max=float(flat_reference[sums.max_at]) if found else None,
        ours_at_max=float(flat_ours[sums.max_at]) if found else None,
        mean_abs=sums.abs_error / sums.finite if sums.finite else 0.0,
        max_rel=sums.max_rel,
        max_ulp=int(ulps.max(initial=0)) if is_float else None,
        p99_ulp=_percentile(ulps, sums.finite) if is_float else None,
        rel_l2=math.sqrt(sums.error_square / sums.reference_square)
        if sums.reference_square > 0
        else None,
        # Rounding may lift the quotient of nearly equal arrays above 1.
        cosine=min(1.0, sums.product / norms) if 0 < norms < math.inf else None,
        snr_db=10 * math.log10(sums.reference_square / sums.error_square) if noisy else None,
    )


def parts(x: np.ndarray) -> np.ndarray:
    """Complex numbers as real and imaginary part, along a new last axis."""
    x = np.ascontiguousarray(x)
    return x.view(f"f{x.dtype.itemsize // 2}").reshape(*x.shape, 2)


def ulp_distance(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Representable values between each pair, as unsigned integers of the floats' own width.

    A float's bits, read as sign and magnitude, number the values in order, so that of two values
    of one sign the bits' difference is the distance, and of two signs the magnitudes' sum. NaNs
    have no place in that order: their distance is meaningless.
    """
    bits_a, bits_b = bits(a), bits(b)
    distance = np.maximum(bits_a, bits_b, out=out)
    distance -= np.minimum(bits_a, bits_b)
    magnitude_bits = np.iinfo(bits_a.dtype).max >> 1
    either_sign = bits_a ^ bits_b
    if either_sign.max(initial=0) > magnitude_bits:
        opposite = np.flatnonzero(either_sign > magnitude_bits)
        distance[opposite] = (bits_a[opposite] & magnitude_bits) + (
            bits_b[opposite] & magnitude_bits
        )
    return distance


def _percentile(ulps: np.ndarray, total: int, share: float = 0.99) -> int:
    """Nearest-rank percentile of `total` distances; all but `ulps`, here reordered, are 0."""
    rank = math.ceil(share * total) - (total - ulps.size) - 1
    if rank < 0 or ulps.size == 0:
        return 0
    if ulps.dtype.itemsize <= 2:  # selection degenerates where most of the values are ties
        ulps.sort()
    else:
        ulps.partition(rank)
    return int(ulps[rank])


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    wide = np.uint64 if a.nbytes % 8 == 0 else np.uint8
    return bool((a.view(wide) == b.view(wide)).all())


def bits(x: np.ndarray) -> np.ndarray:
    return x.view(f"u{x.dtype.itemsize}")


def _widen(x: np.ndarray) -> np.ndarray:
    """The values in float32, or in float64 where float32 would round them."""
    if x.dtype == _BFLOAT16:
        # The upper half of a float32; a shift is far faster than ml_dtypes' conversion.
        wide = x.view(np.uint16).astype(np.uint32)
        np.left_shift(wide, 16, out=wide)
        return wide.view(np.float32)
    if x.dtype == np.float32:
        return x
    narrow = _is_float(x.dtype) and x.dtype.itemsize < 4
    return x.astype(np.float32 if narrow else np.float64)


def _is_float(dtype: np.dtype) -> bool:
    # ml_dtypes' floats are of kind "V" to NumPy.
    return dtype.kind in "fV"
