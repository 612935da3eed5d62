"""Which of two results is nearer to the truth, and when that is more than chance."""

import numpy as np
import pytest

from parity.arrays.accuracy import TOLERATED_RATIO, accuracy, share_of_bound


def test_ratios_of_errors() -> None:
    truth = np.float64([1, 2, 3, 4])
    reference = np.float32([1.25, 2, 3, 4])
    ours = np.float32([1.5, 2, 3, 4])
    found = accuracy(truth, ours, reference)
    assert found.ratio == 2
    assert found.ratio_where == 2
    assert found.reference == pytest.approx(0.25 / np.sqrt(30))
    assert found.ours == pytest.approx(0.5 / np.sqrt(30))
    assert (found.farther, found.nearer) == (1, 0)


def test_where_the_reference_is_exact_there_is_no_ratio() -> None:
    found = accuracy(np.float64([1]), np.float32([2]), np.float32([1]))
    assert found.ratio is None
    assert found.ours == 1


def test_nonfinite_elements_are_left_out() -> None:
    found = accuracy(np.float64([1, 1]), np.float32([3, 1]), np.float32([2, np.nan]))
    assert found.ratio == 2


def noisy(scale: float, count: int = 10_000, bias: float = 0.0):
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(count)
    reference = truth + 0.01 * rng.standard_normal(count)
    return accuracy(truth, truth + bias + scale * 0.01 * rng.standard_normal(count), reference)


def three_times_as_far(count: int):
    truth = np.ones(count)
    return accuracy(truth, truth + 0.75, truth + 0.25)


@pytest.mark.parametrize(
    ("found", "worse"),
    [
        (noisy(1.0), False),
        (noisy(1.3), False),
        (noisy(0.5), False),
        (noisy(2.0), True),
        (noisy(1.0, bias=0.02), True),
        (three_times_as_far(12), False),
        (three_times_as_far(40), True),
    ],
    ids=["as good", "a little worse", "better", "twice", "biased", "too few to tell", "enough"],
)
def test_worse_is_large_and_not_chance(found, worse: bool) -> None:
    assert found.worse == worse


def test_the_tolerance_is_one_more_rounding_for_each() -> None:
    assert pytest.approx(2) == TOLERATED_RATIO**2


def test_share_of_a_bound() -> None:
    one = np.float32([1, 2])
    assert share_of_bound(one, np.float32([1.5, 2]), np.float64([1, 0])) == 0.5
    assert share_of_bound(one, one, np.float64([0, 0])) == 0
    assert share_of_bound(one, np.float32([1, 3]), np.float64([1, 0])) == np.inf
    assert share_of_bound(one, np.float32([1, 3]), np.float64([1, np.inf])) is None
