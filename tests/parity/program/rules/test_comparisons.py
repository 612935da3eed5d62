"""A comparison that may come out otherwise is uncertain, and a choice covers both cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import DTYPES, Case, check_another_exceeds, check_within, perturbed, third
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

CASES = {
    "selects": Case(
        lambda x: jnp.where(third(x) > 0, x, jnp.where(x < -1, -1.0, third(x))),
        lambda x: jnp.where(third(x) > 0, x, jnp.where(x < -1, -0.9, third(x))),
        again=(lambda x: jnp.where(x < -1, -1.0, jnp.maximum(third(x), jnp.where(x > 0, x, -1))),),
    ),
    "elu": Case(lambda x: jax.nn.elu(third(x)), lambda x: jax.nn.selu(third(x))),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_computed_stays_within(name: str, dtype: str) -> None:
    check_within(CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_another_formula_does_not(name: str, dtype: str) -> None:
    check_another_exceeds(CASES[name], dtype)


def chain(x: Any) -> Any:
    """A choice among three, by integers that comparisons make."""
    place = (x[0] > x[1]).astype(jnp.int32) + (x[1] >= 0.5).astype(jnp.int32)
    return lax.select_n(place, x[0], x[1] - 1, jnp.full_like(x[0], -jnp.inf))


CHOICES: dict[str, Callable[[Any], Any]] = {
    "comparisons": lambda x: (x[0] == x[1], x[0] != 0, x[0] < x[1], x[0] <= 0.5, x[0] >= x[1]),
    "logic": lambda x: ((x[0] > 0) & (x[1] > 0), (x[0] > 0) | ~(x[1] > 0), (x[0] > 0) ^ (x[1] > 1)),
    "reductions": lambda x: (jnp.all(x > 0, 0), jnp.any(x > 0.5, 1), jnp.all(x > -1)),
    "where": lambda x: jnp.where(x[0] > x[1], x[0] * 2, x[1] - 1),
    "leaky": lambda x: jnp.where(x >= 0, x, 0.01 * x),
    "chain": chain,
    "to booleans": lambda x: x.astype(bool),
    "counted": lambda x: jnp.cumsum(x > 0, axis=1) * 2 - 1,
}
TIED = st.lists(st.sampled_from([-1, 0, 0.5, 1]), min_size=10, max_size=10)
ERRORS = st.lists(st.sampled_from([0, 0, 0.1, 0.3, 0.6]), min_size=10, max_size=10)


@pytest.mark.parametrize("name", CHOICES)
@settings(max_examples=15, deadline=None)
@given(TIED, ERRORS, st.integers(0, 2**32 - 1))
def test_what_may_come_out_otherwise_is_covered(
    name: str, values: Any, errors: Any, seed: int
) -> None:
    x, e = np.array(values, float).reshape(2, 5), np.array(errors).reshape(2, 5)
    for distance, bound in zip(*perturbed(CHOICES[name], [x], [e], seed), strict=True):
        assert (distance <= bound + 1e-12).all()


@pytest.mark.parametrize("name", CHOICES)
def test_what_no_error_reaches_is_exact(name: str) -> None:
    x = np.array([[0.0, 1, 1, 4, 0], [0, 0, 2, 4, 2]])
    for _, bound in zip(*perturbed(CHOICES[name], [x], [np.zeros_like(x)], 0), strict=True):
        assert (bound < 1e-12).all()


def test_a_choice_far_from_its_threshold_costs_nothing() -> None:
    x, e = np.array([-1.0, 0.05, 1]), np.full(3, 0.1)
    _, (bound,) = perturbed(lambda x: jnp.where(x > 0, 5.0, -7.0), [x], [e], 0)
    np.testing.assert_array_equal(bound, [0, 12, 0])


def test_a_value_is_never_another_than_itself() -> None:
    """As in the test for NaN inside logaddexp."""
    _, (bound,) = perturbed(lambda x: jnp.isnan(x * 2), [np.ones(3)], [np.full(3, 0.1)], 0)
    np.testing.assert_array_equal(bound, 0)


def test_bits_of_uncertain_integers_have_no_bound() -> None:
    def bits(x: Any) -> Any:
        return x.astype(jnp.int32) ^ 5

    for last, known in ((2.5, True), (2.95, False)):
        _, (bound,) = perturbed(bits, [np.array([1.5, last])], [np.full(2, 0.1)], 0)
        assert np.isfinite(bound).all() == known
