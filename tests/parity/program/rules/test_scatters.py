"""Updates at given places: bounds hold, and tell another formula."""

from __future__ import annotations

import functools
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

PLACES = jnp.array([0, 3, 3, 1, 3])

CASES = {
    "scatter": Case(
        lambda x, y: x.at[PLACES[1:4:2]].set(third(y)),
        lambda x, y: x.at[PLACES[1:4:2]].set(third(y[::-1])),
        ((4, 5), (2, 5)),
    ),
    "scatter-add": Case(
        lambda x, y: third(x).at[PLACES].add(third(y)),
        lambda x, y: third(x).at[PLACES[:-1]].add(third(y[:-1])),
        ((4, 5), (5, 5)),
        (lambda x, y: third(x).at[PLACES[::-1]].add(third(y)[::-1]),),
    ),
    "scatter-sub": Case(
        lambda x, y: third(x).at[PLACES].subtract(third(y)),
        lambda x, y: third(x).at[PLACES].add(third(y)),
        ((4, 5), (5, 5)),
    ),
    "scatter-mul": Case(
        lambda x, y: third(x).at[PLACES].multiply(third(y)),
        lambda x, y: third(x).at[PLACES[:-1]].multiply(third(y[:-1])),
        ((4, 5), (5, 5)),
        (lambda x, y: third(x).at[PLACES[::-1]].multiply(third(y)[::-1]),),
    ),
    "scatter-max": Case(
        lambda x, y: third(x).at[PLACES].max(third(y)),
        lambda x, y: third(x).at[PLACES].min(third(y)),
        ((4, 5), (5, 5)),
    ),
    "scatter-min": Case(
        lambda x, y: third(x).at[PLACES].min(third(y)),
        lambda x, y: third(x).at[PLACES].max(third(y)),
        ((4, 5), (5, 5)),
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


WAYS = ("set", "add", "subtract", "multiply", "min", "max")


def updated(way: str, x: Any, updates: Any, place: Any) -> Any:
    places = jnp.stack([jnp.int32(2), jnp.int32(0), place.astype(jnp.int32)])
    at = x.at[places]
    methods = (at.set, at.add, at.subtract, at.multiply, at.min, at.max)
    return dict(zip(WAYS, methods, strict=True))[way](updates)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(5))
def test_errors_of_updates_are_covered(way: str, seed: int) -> None:
    values = [samples(seed, 4, 2), samples(seed + 9, 3, 2), np.array(2.5 if way != "set" else 3.5)]
    errors = [np.full((4, 2), 1e-6), np.full((3, 2), 2e-6), np.array(0.1)]
    fn = functools.partial(updated, way)
    (distance,), (bound,) = perturbed(fn, values, errors, seed)
    assert (distance <= bound * (1 + 1e-3)).all()
    assert distance.max() > bound.max() / 100


@pytest.mark.parametrize("way", WAYS)
def test_an_update_at_an_uncertain_place_has_no_bound(way: str) -> None:
    values = [samples(0, 4, 2), samples(9, 3, 2), np.array(2.95)]
    fn = functools.partial(updated, way)
    _, (bound,) = perturbed(fn, values, [np.zeros((4, 2)), np.zeros((3, 2)), np.array(0.1)], 0)
    assert np.isinf(bound).all()


def test_many_updates_of_one_place_are_charged_their_roundings() -> None:
    """In bfloat16, in which each addition is rounded; 256 of 1 stays 256 after another 1."""
    long = Case(
        lambda x: jnp.zeros(2, x.dtype).at[0].add(0 * x[0]).at[jnp.zeros(900, int)].add(jnp.abs(x)),
        lambda x: x[:2],
        ((900,),),
    )
    check_within(long, "bfloat16", seeds=1)
