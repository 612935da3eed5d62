"""Profiles: their bins, on arrays small enough to be counted by hand, and what sampling keeps."""

import dataclasses
import json

import ml_dtypes
import numpy as np
import pytest

import parity.arrays.profile
from parity.arrays.accuracy import accuracy
from parity.arrays.profile import Magnitude, Profile, profile
from parity.trace.frames import Frame, FrameSpec, Trace
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import DiffSink, diff_arrays
from parity.verdict.jsonlike import profile_json


def profiled(reference: np.ndarray, ours: np.ndarray, *tokens: int) -> Profile:
    metrics = diff_arrays("x", ours, reference).metrics
    assert metrics is not None
    return profile(ours, reference, metrics.mismatched, tokens or None)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32, np.float64])
def test_distances_are_counted_by_powers_of_two(dtype: type) -> None:
    reference = np.ones(12, dtype)
    ours = reference.copy()
    bits = ours.view(f"u{ours.itemsize}")
    bits[:7] += np.array([1, 2, 3, 4, 7, 8, 16], bits.dtype)
    assert profiled(reference, ours).ulp_histogram == (5, 1, 2, 2, 1, 1)


def test_the_largest_distance_of_a_narrow_dtype_has_a_bin() -> None:
    most = np.array([3e38], ml_dtypes.bfloat16)
    counts = profiled(most, -most).ulp_histogram
    assert (len(counts), counts[16]) == (17, 1)


def test_zeros_of_other_sign_are_at_distance_0() -> None:
    found = profiled(np.float32([0, 1, 2]), np.float32([-0.0, 1, 3]))
    assert found.ulp_histogram[0] == 2
    assert sum(found.ulp_histogram) == 3


def test_errors_stand_at_the_magnitude_of_the_reference() -> None:
    reference = np.float32([0, 0.5, 1, 1.5, -1.5, 8])
    ours = np.float32([0.25, 0.5, 1.5, 1.75, -1.5, 7])
    assert profiled(reference, ours).by_magnitude == (
        Magnitude(None, 1, 1, 0.25, 0.25),
        Magnitude(-1, 1, 0, 0.0, 0.0),
        Magnitude(0, 3, 2, 0.5, 0.375),
        Magnitude(3, 1, 1, 1.0, 1.0),
    )


def test_magnitudes_below_the_fortieth_are_counted_with_it() -> None:
    reference = np.float64(2.0) ** -np.arange(50.0)
    found = profiled(reference, reference * 1.5).by_magnitude
    assert [each.exponent for each in found] == list(range(-39, 1))
    assert (found[0].count, found[0].mismatched) == (11, 11)
    assert found[0].max_abs == 2.0**-40
    assert sum(each.mismatched for each in found) == 50


def test_subnormal_and_largest_values_have_a_magnitude() -> None:
    reference = np.array([5e-324, 1.7e308])
    found = profiled(reference, reference[::-1].copy()).by_magnitude
    assert [each.exponent for each in found] == [-1074, 1023]


def test_infinite_and_nan_elements_have_no_error() -> None:
    found = profiled(np.float32([1, np.inf, 3, 4]), np.float32([2, 1, np.nan, 4]), 1, 4)
    assert sum(each.mismatched for each in found.by_magnitude) == 1
    assert found.by_token is None  # of one axis
    assert sum(found.ulp_histogram) == 2


def test_where_no_differing_element_is_finite_nothing_has_a_distance() -> None:
    found = profiled(np.float32([1, 2]), np.float32([np.nan, 2]))
    assert found.ulp_histogram == (1,)
    assert [each.mismatched for each in found.by_magnitude] == [0, 0]


def test_differences_are_found_at_their_tokens() -> None:
    reference = np.zeros((2, 3, 4, 5), np.float32)
    ours = reference.copy()
    ours[0, 1, :2, 0] = 3
    ours[1, 2, 3, 4] = -7
    grid = profiled(reference, ours, 2, 3).by_token
    assert grid is not None
    assert (grid.positions, grid.bucket) == (3, 1)
    assert grid.mismatched == ((0, 2, 0), (0, 0, 1))
    assert grid.max_abs == ((0, 3, 0), (0, 0, 7))


def test_many_positions_share_cells() -> None:
    reference = np.zeros((2, 130, 3), np.float32)
    ours = reference.copy()
    ours[1, 129] = 1
    ours[0, 2:4] = 2
    grid = profiled(reference, ours, 2, 130).by_token
    assert grid is not None
    assert grid.bucket == 3
    assert [len(row) for row in grid.mismatched] == [44, 44]
    assert (grid.mismatched[0][:2], grid.mismatched[1][43]) == ((3, 3), 3)


@pytest.mark.parametrize("tokens", [(), (3, 2), (2, 4)])
def test_arrays_of_other_axes_have_no_tokens(tokens: tuple[int, ...]) -> None:
    reference = np.zeros((2, 3, 4), np.float32)
    assert profiled(reference, reference + 1, *tokens).by_token is None


def test_integers_have_magnitudes_and_no_ulp() -> None:
    found = profiled(np.array([1, 2, 3]), np.array([1, 2, 5]))
    assert found.ulp_histogram == ()
    assert found.by_magnitude[-1] == Magnitude(1, 2, 1, 2.0, 2.0)


def test_a_large_array_is_sampled_evenly_over_its_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity.arrays.profile, "_LIMIT", 1 << 10)
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((4, 32, 256), np.float32)
    ours = reference.copy()
    ours[..., 0] += 1  # one channel of 256
    ours[..., 120:] *= 1.5
    found = profiled(reference, ours, 4, 32)
    assert found.sampled > 1
    assert np.gcd(found.sampled, reference.size) == 1
    assert sum(found.ulp_histogram) == -(-reference.size // found.sampled)
    share = 1 - found.ulp_histogram[0] / sum(found.ulp_histogram)
    assert share == pytest.approx(137 / 256, abs=0.02)
    assert found.by_token is not None
    assert np.min(found.by_token.mismatched) > 0


def test_few_differences_are_all_seen_however_large_the_array(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parity.arrays.profile, "_LIMIT", 1 << 10)
    reference = np.ones((2, 64, 1000), np.float32)
    ours = reference.copy()
    ours[1, 63, 999] = 2
    found = profiled(reference, ours, 2, 64)
    assert (found.sampled, found.counted > 1) == (1, True)
    assert found.by_token is not None
    assert found.by_token.mismatched[1][63] == 1


def test_differences_between_the_steps_of_sampling_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parity.arrays.profile, "_LIMIT", 2)
    reference = np.zeros(9, np.float32)
    ours = reference.copy()
    ours[[1, 3, 5]] = 1  # every second is looked at: 0, 2, 4, …
    found = profiled(reference, ours)
    assert (found.sampled, found.by_magnitude[0].mismatched) == (1, 3)


def sink_row(reference: np.ndarray, ours: np.ndarray, **options: bool) -> Profile | None:
    spec = FrameSpec(0, "x", ours.shape, str(ours.dtype))
    manifest = Manifest("reference", tokens=[[1, 2, 3], [4, 5, 6]])
    sink = DiffSink(Trace(manifest, [spec], lambda _: reference), **options)
    sink.begin([spec])
    sink.put(Frame(spec, ours))
    return sink.column("ours").taps[0].profile


def test_comparing_profiles_what_differs_by_the_tokens_of_the_run() -> None:
    reference = np.zeros((2, 3, 4), np.float32)
    found = sink_row(reference, reference + 1, profiled=True)
    assert found is not None
    assert found.by_token is not None
    assert found.by_token.mismatched == ((4, 4, 4), (4, 4, 4))
    assert sink_row(reference, reference.copy(), profiled=True) is None
    assert sink_row(reference, reference + 1) is None


def test_a_profile_is_part_of_the_document_and_not_of_the_table() -> None:
    reference, ours = np.float32([[[1, 2]], [[3, 4]]]), np.float32([[[1, 2]], [[3, 5]]])
    truth = reference.astype(np.float64) + 0.125
    row = dataclasses.replace(
        diff_arrays("x", ours, reference),
        profile=profiled(reference, ours, 2, 1),
        accuracy=accuracy(truth, ours, reference),
    )
    same = diff_arrays("y", reference.copy(), reference)
    comparison = Comparison({}, [Column("ours", {}, [row, same])])
    first, second = comparison.to_json()["columns"][0]["taps"]
    assert second["profile"] is None
    found = json.loads(json.dumps(first["profile"], allow_nan=False))
    assert found["by_magnitude"]["mismatched"] == [0, 0, 1]
    assert found["by_token"] == {
        "positions": 1, "bucket": 1, "mismatched": [[0], [1]], "max_abs": [[0.0], [1.0]],
    }  # fmt: skip
    errors = found["oracle_errors"]
    assert (errors["ours"][-1], set(errors["reference"])) == (0.875, {-0.125})
    assert "profile" not in comparison.to_frame().columns
    assert profile_json(same) is None


def test_errors_to_the_oracle_are_ranked_with_their_sign() -> None:
    truth = np.zeros(100_000)
    ours = np.linspace(-1, 3, truth.size)
    errors = accuracy(truth, ours, -ours).errors
    assert errors is not None
    assert errors.sampled > 1
    assert np.gcd(errors.sampled, truth.size) == 1
    assert len(errors.ours) == 33
    np.testing.assert_allclose(errors.ours, np.linspace(-1, 3, 33), atol=1e-3)
    np.testing.assert_allclose(errors.reference, np.linspace(-3, 1, 33), atol=1e-3)
