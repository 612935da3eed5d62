"""The number that was meant where one was rounded to float32."""

import numpy as np
import pytest

from parity.explain.unrounded import unrounded


@pytest.mark.parametrize("meant", [0.1, 1e-6, 8**-0.5, 1 / 3, 24**0.5, 1 / 96, -0.044715])
def test_it_is_found_again(meant: float) -> None:
    assert unrounded(float(np.float32(meant))) == pytest.approx(meant, rel=1e-15)


@pytest.mark.parametrize("number", [0.1, 8**-0.5, 0.0, float("inf"), float("nan"), 2.0, -1e30])
def test_what_was_not_rounded_stays(number: float) -> None:
    np.testing.assert_equal(unrounded(number), number)


def test_a_number_of_many_digits_stays() -> None:
    number = float(np.float32(0.8342719))
    assert unrounded(number) == pytest.approx(number, rel=1e-15)
