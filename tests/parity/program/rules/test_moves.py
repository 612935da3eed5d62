"""Errors move as values do, and cover what an uncertain index may reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import (
    DTYPES,
    Case,
    check_another_exceeds,
    check_within,
    perturbed,
    samples,
    third,
)
from jax import lax

PLACES = jnp.array([0, 3, 3, 1, 3])

CASES = {
    "gather": Case(lambda x: third(x)[PLACES], lambda x: third(x)[PLACES + 1]),
    "dynamic slice": Case(
        lambda x: lax.dynamic_slice(third(x), (1, 2), (3, 4)),
        lambda x: lax.dynamic_slice(third(x), (1, 3), (3, 4)),
    ),
    "dynamic update": Case(
        lambda x: lax.dynamic_update_slice(third(x), third(x[:2, :2]), (1, 2)),
        lambda x: lax.dynamic_update_slice(third(x), third(x[:2, :2]), (2, 2)),
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


def read_row(x: Any, place: Any) -> Any:
    return x[place.astype(jnp.int32)]


def read_column(x: Any, place: Any) -> Any:
    return jnp.take(x, place.astype(jnp.int32), axis=1)


def read_elements(x: Any, place: Any) -> Any:
    return jnp.take_along_axis(x, place.astype(jnp.int32)[None], axis=0)


def read_from(x: Any, place: Any) -> Any:
    return lax.dynamic_slice(x, (place[0].astype(int), 1), (2, 3))


@pytest.mark.parametrize("read", [read_row, read_column, read_elements, read_from])
@pytest.mark.parametrize("seed", range(4))
def test_what_another_index_reads_is_covered(read: Callable[..., Any], seed: int) -> None:
    table, places = samples(seed, 5, 4), np.array([1.5, 0.2, 2.95, 3.5])
    errors = [1e-3 * np.ones((5, 4)), np.array([0.6, 0.1, 0.1, 0])]
    (distance,), (bound,) = perturbed(read, [table, places], errors, seed)
    assert np.isfinite(bound).all()
    assert (distance <= bound + 1e-12).all()


def test_only_what_is_read_at_an_uncertain_index_is_in_doubt() -> None:
    table, places = samples(0, 5, 4), np.array([1.5, 1.95])
    _, (bound,) = perturbed(read_row, [table, places], [np.zeros((5, 4)), 0.1 * np.ones(2)], 0)
    assert (bound[0] == 0).all()
    assert (bound[1] > 0).all()
    # Another row is no farther than the column is wide.
    table = np.asarray(table, np.float64)
    assert (bound[1] <= np.ptp(table, axis=0) * (1 + 1e-12)).all()


def test_what_is_written_at_an_uncertain_index_has_no_bound() -> None:
    def write(x: Any, place: Any) -> Any:
        return lax.dynamic_update_slice(x, jnp.ones(2), (place.astype(jnp.int32),))

    for place, known in ((1.5, True), (1.95, False)):
        _, (bound,) = perturbed(write, [np.zeros(5), np.array(place)], [np.zeros(5), 0.1], 0)
        assert np.isfinite(bound).all() == known


def test_a_fill_value_is_exact() -> None:
    def read(x: Any) -> Any:
        return x.at[jnp.array([0, 7])].get(mode="fill", fill_value=9.0)

    _, (bound,) = perturbed(read, [np.zeros(5)], [np.full(5, 0.1)], 0)
    np.testing.assert_array_equal(bound, [0.1, 0])
