"""Extremes, sorted values and their places: bounds hold, ties included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import (
    DTYPES,
    Case,
    bounding,
    check_another_exceeds,
    check_within,
    perturbed,
    pooled,
    prefix_case,
    samples,
    third,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax


def largest(x: Any, skip: int = 0) -> Any:
    return lax.top_k(third(x), 3 + skip)[0][:, skip:]


CASES = {
    "cummax": prefix_case(lax.cummax, -9.0),
    "cummin": prefix_case(lax.cummin, 9.0),
    "sort": Case(lambda x: jnp.sort(third(x)), lambda x: -jnp.sort(-third(x))),
    "top-k": Case(largest, lambda x: largest(x, 1)),
    "clamp": Case(
        lambda x: jnp.clip(third(x), -0.2, third(1.0)), lambda x: jnp.clip(third(x), -0.2, 0.4)
    ),
    "max pool": Case(
        lambda x: pooled(x, -jnp.inf, lax.max), lambda x: pooled(x, -jnp.inf, lax.max).T, ((9, 9),)
    ),
    "min pool": Case(
        lambda x: pooled(x, jnp.inf, lax.min), lambda x: pooled(x, jnp.inf, lax.min).T, ((9, 9),)
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_computed_stays_within(name: str, dtype: str) -> None:
    check_within(CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_another_formula_does_not(name: str, dtype: str) -> None:
    check_another_exceeds(CASES[name], dtype)


def places_in(x: Any) -> Any:
    return lax.broadcasted_iota(jnp.int32, x.shape, 1)


def sorted_along(x: Any) -> Any:
    """Keys, their places, and what was sorted along with them."""
    return lax.sort((x, places_in(x), 1 - 2 * x), num_keys=1)


def sorted_by_two(x: Any) -> Any:
    return lax.sort((jnp.floor(x), -x, places_in(x)), num_keys=2)


CHOICES: dict[str, Callable[[Any], Any]] = {
    "max": lambda x: jnp.maximum(x, jnp.flip(x, -1)),
    "min": lambda x: jnp.minimum(x, 0.5),
    "clamp": lambda x: lax.clamp(x[:, :1].min() - 1, x, x[:, :1].max()),
    "largest": lambda x: x.max(-1),
    "smallest": lambda x: x.min(0),
    "running": lambda x: (lax.cummax(x, axis=1), lax.cummin(x, axis=0, reverse=True)),
    "windows": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 3), (1, 2), "SAME"),
    "sort": jnp.sort,
    "argsort": jnp.argsort,
    "sort along": sorted_along,
    "two keys": sorted_by_two,
    "top-k": lambda x: lax.top_k(x, 3),
    "argmax": lambda x: (jnp.argmax(x, -1), jnp.argmin(x, 0)),
}
# Few values and few errors, so that ties and near ties are the rule.
TIED = st.lists(st.sampled_from([-2, -1, 0, 0.5, 1, 3]), min_size=10, max_size=10)
ERRORS = st.lists(st.sampled_from([0, 0, 0, 0.1, 0.3, 0.6]), min_size=10, max_size=10)


@pytest.mark.parametrize("name", CHOICES)
@settings(max_examples=15, deadline=None)
@given(TIED, ERRORS, st.integers(0, 2**32 - 1))
def test_ties_are_covered(name: str, values: Any, errors: Any, seed: int) -> None:
    x, e = np.array(values, float).reshape(2, 5), np.array(errors).reshape(2, 5)
    for distance, bound in zip(*perturbed(CHOICES[name], [x], [e], seed), strict=True):
        assert (distance <= bound + 1e-12).all()


@pytest.mark.parametrize("name", CHOICES)
def test_what_no_error_reaches_is_exact(name: str) -> None:
    """Equal values included: they keep their order."""
    x = np.array([[3.0, 1, 1, 4, 0], [0, 0, 2, 2, 2]])
    for _, bound in zip(*perturbed(CHOICES[name], [x], [np.zeros_like(x)], 0), strict=True):
        assert (bound < 1e-12).all()


def test_places_are_certain_where_keys_lie_apart() -> None:
    x, e = np.array([[5.0, 1, 1.1, 3]]), np.full((1, 4), 0.06)
    _, (bound,) = perturbed(jnp.argsort, [x], [e], 0)
    np.testing.assert_array_equal(bound > 0, [[True, True, False, False]])
    _, (_, bound) = perturbed(lambda x: lax.top_k(x, 3), [x], [e], 0)
    np.testing.assert_array_equal(bound > 0, [[False, False, True]])
    _, (bound,) = perturbed(lambda x: jnp.argmin(x, -1), [x], [e], 0)
    np.testing.assert_array_equal(bound, [1])  # the place of 1.1
    _, (bound,) = perturbed(lambda x: jnp.argmax(x, -1), [x], [e], 0)
    np.testing.assert_array_equal(bound, [0])


def test_a_routers_near_tie_is_covered_to_the_end() -> None:
    """Two experts score alike up to rounding: which is chosen, and what it makes, may be either."""
    scores = jnp.asarray([[1.0, 3.004, 3.0, 0.5], [4.0, 1.0, 2.0, 3.0]], jnp.bfloat16)

    def routed(scores: Any, table: Any) -> Any:
        _, chosen = lax.top_k(third(scores), 1)
        return table[chosen[:, 0]]

    table = samples(0, 4, 3, dtype="bfloat16")
    value, bound = bounding(routed, scores, table)(scores, table)
    np.testing.assert_array_equal(bound[1], 0)
    for expert in (1, 2):
        other = np.asarray(table[expert], np.float64)
        assert (np.abs(other - value[0]) <= bound[0]).all()
