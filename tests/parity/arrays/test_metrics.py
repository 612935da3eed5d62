"""Every figure against a slow, separate computation, and the conventions one by one."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.arrays import metrics
from parity.arrays.metrics import compare_arrays, ulp_distance

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [BFLOAT16, np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)]


def from_bits(dtype: np.dtype, *bits: int) -> np.ndarray:
    return np.array(bits, f"u{dtype.itemsize}").view(dtype)


def bit_patterns(dtype: np.dtype) -> st.SearchStrategy[np.ndarray]:
    """Any bits at all: zeros, subnormals, infinities and NaNs included, many of them close."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return hnp.arrays(unsigned, 12).map(lambda bits: bits.view(dtype))


def slow_ulp(a: float, b: float, dtype: np.dtype) -> int:
    """Steps between two values, from positions in the sorted list of all finite values."""

    def place(x: float) -> int:
        bits = int(np.array(abs(x), dtype).view(f"u{dtype.itemsize}"))
        return -bits if math.copysign(1, x) < 0 else bits

    return abs(place(a) - place(b))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_figures_equal_a_slow_computation(dtype: np.dtype, data: st.DataObject) -> None:
    a = data.draw(bit_patterns(dtype))
    close = data.draw(hnp.arrays(f"u{dtype.itemsize}", 12, elements=st.integers(0, 3)))
    b = (a.view(close.dtype) ^ close).view(dtype)
    result = compare_arrays(b, a)

    bits_a, bits_b = (x.view(close.dtype).tolist() for x in (a, b))
    with np.errstate(invalid="ignore"):
        pairs = list(zip(*(x.astype(np.float64).tolist() for x in (a, b)), strict=True))
    differ = [x != y for x, y in zip(bits_a, bits_b, strict=True)]
    finite = [math.isfinite(x) and math.isfinite(y) for x, y in pairs]
    assert result.mismatched == sum(differ)
    assert result.nonfinite == sum(d and not f for d, f in zip(differ, finite, strict=True))
    assert result.nan_payload == sum(
        d and math.isnan(x) and math.isnan(y) for d, (x, y) in zip(differ, pairs, strict=True)
    )
    assert result.zero_sign == sum(
        d and x == y == 0 for d, (x, y) in zip(differ, pairs, strict=True)
    )
    if not any(differ):
        assert (result.max_abs, result.max_ulp, result.p99_ulp, result.cosine) == (0, 0, 0, 1)
        return
    kept = [pair for pair, f in zip(pairs, finite, strict=True) if f]
    ulps = sorted(slow_ulp(x, y, dtype) for x, y in kept)
    assert result.max_ulp == (ulps[-1] if ulps else 0)
    assert result.p99_ulp == (ulps[math.ceil(0.99 * len(ulps)) - 1] if ulps else 0)
    errors = [abs(Fraction(x) - Fraction(y)) for x, y in kept]
    largest = float(max(errors, default=Fraction(0)))
    # One float32 subtraction (float64 beyond float32) of neighbours rounds at most once.
    assert result.max_abs == pytest.approx(largest, rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sums_over_many_chunks(dtype: np.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", 64)
    rng = np.random.default_rng(0)
    a = rng.standard_normal((10, 37)).astype(dtype)
    b = a.copy()
    b[3:5] = (b[3:5].astype(np.float64) * 1.03).astype(dtype)  # dense in a few chunks
    b[8, 36] = dtype.type(-4)  # one in another
    result = compare_arrays(b, a)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    error = np.abs(wide_a - wide_b)
    assert result.mismatched == (error > 0).sum()
    assert result.max_abs == pytest.approx(error.max(), rel=1e-6)
    assert result.max_abs_at == np.unravel_index(error.argmax(), error.shape) == (8, 36)
    assert result.reference_at_max == wide_a[8, 36]
    assert result.ours_at_max == -4
    assert result.mean_abs == pytest.approx(error.mean(), rel=1e-5)
    assert result.max_rel == pytest.approx((error / np.abs(wide_a)).max(), rel=1e-5)
    cosine = (wide_a * wide_b).sum() / np.linalg.norm(wide_a) / np.linalg.norm(wide_b)
    assert result.cosine == pytest.approx(cosine, rel=1e-6)
    snr = 10 * np.log10((wide_a**2).sum() / (error**2).sum())
    assert result.snr_db == pytest.approx(snr, rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ulp_distance_counts_values_across_zero(dtype: np.dtype) -> None:
    tiny = from_bits(dtype, 1)
    sign = 1 << (8 * dtype.itemsize - 1)
    minus_tiny = from_bits(dtype, sign | 1)
    assert ulp_distance(tiny, minus_tiny).tolist() == [2]
    largest = np.array([ml_dtypes.finfo(dtype).max], dtype)
    apart = int(ulp_distance(largest, -largest)[0])
    assert apart == 2 * int(largest.view(f"u{dtype.itemsize}")[0])


def test_zero_signs_mismatch_without_error() -> None:
    result = compare_arrays(np.float32([-0.0, 1.0]), np.float32([0.0, 1.0]))
    assert (result.mismatched, result.zero_sign, result.max_abs, result.max_ulp) == (1, 1, 0, 0)


def test_nan_payloads_mismatch_and_equal_nans_do_not() -> None:
    quiet, other = from_bits(BFLOAT16, 0x7FC0), from_bits(BFLOAT16, 0x7FC1)
    assert compare_arrays(quiet.copy(), quiet).mismatched == 0
    result = compare_arrays(other, quiet)
    assert (result.mismatched, result.nan_payload, result.nonfinite) == (1, 1, 1)


def test_nonfinite_elements_are_counted_and_kept_out_of_the_sums() -> None:
    a = np.float32([1, np.inf, np.nan, 2])
    b = np.float32([1, 3, np.nan, 2.5])
    result = compare_arrays(b, a)
    assert (result.mismatched, result.nonfinite) == (2, 1)
    assert (result.max_abs, result.max_abs_at) == (0.5, (3,))
    assert result.mean_abs == pytest.approx(0.5 / 2)
    assert math.isfinite(result.cosine or math.nan)


def test_values_too_large_to_square_are_no_infinities() -> None:
    a = np.float32([1e30, 2e30])
    result = compare_arrays(a * np.float32(1.5), a)
    assert result.nonfinite == 0
    assert result.cosine == pytest.approx(1)
    assert result.snr_db == pytest.approx(20 * math.log10(2))


def test_float64_at_its_limits_raises_no_warning() -> None:
    largest = np.float64([np.finfo(np.float64).max, 1.0])
    result = compare_arrays(-largest, largest)
    assert (result.mismatched, result.nonfinite, result.cosine) == (2, 0, None)


def test_subnormal_differences_are_seen() -> None:
    result = compare_arrays(from_bits(np.dtype(np.float32), 3), from_bits(np.dtype(np.float32), 1))
    assert (result.mismatched, result.max_ulp) == (1, 2)
    assert result.max_abs > 0


def test_relative_error_leaves_out_a_zero_reference() -> None:
    result = compare_arrays(np.float32([1, 3]), np.float32([0, 2]))
    assert (result.max_abs, result.max_rel) == (1.0, 0.5)


def test_bool_and_integers_have_errors_but_no_ulps() -> None:
    result = compare_arrays(np.int32([1, 9]), np.int32([1, 5]))
    assert (result.mismatched, result.max_abs, result.max_ulp) == (1, 4, None)
    assert compare_arrays(np.array([False]), np.array([True])).mismatched == 1


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,)])
def test_scalars_and_empty_arrays(shape: tuple[int, ...]) -> None:
    ones = np.ones(shape, np.float32)
    assert compare_arrays(ones.copy(), ones).mismatched == 0
    assert compare_arrays(ones + 1, ones).mismatched == ones.size


def test_a_view_with_strides_is_compared_by_value() -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert compare_arrays(np.ascontiguousarray(base.T), base.T).mismatched == 0
    changed = base.copy()
    changed[2, 5] += 1
    assert compare_arrays(changed.T, base.T).max_abs_at == (5, 2)


def test_other_shape_or_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got float32\[2\] and float32\[3\]"):
        compare_arrays(np.zeros(3, np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="agree in shape and dtype"):
        compare_arrays(np.zeros(2, BFLOAT16), np.zeros(2, np.float32))
