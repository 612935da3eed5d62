"""Functions of one element: kernels stay within what is charged, wherever they are defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from bounds_for_tests import (
    Case,
    bounding,
    check_another_exceeds,
    check_within,
    distance_of,
    perturbed,
    third,
)
from jax import lax

from parity.program.bounded import roundoff

COUNT = 20_000


def magnitudes(low: float, high: float) -> np.ndarray:
    """Of both signs, of every magnitude from 10^low to 10^high."""
    rng = np.random.default_rng(0)
    return 10 ** rng.uniform(low, high, COUNT) * rng.choice([-1, 1], COUNT)


def up_to_one() -> np.ndarray:
    """Between -1 and 1, most of them near 0 or near 1."""
    near_one = (1 - np.abs(magnitudes(-7, 0))) * np.sign(magnitudes(0, 1))
    return np.concatenate([magnitudes(-6, -0.01), near_one])


POSITIVE = np.abs(magnitudes(-10, 10))
# name -> the function in double precision, and where to look at it
TRUTHS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "exp": (np.exp, magnitudes(-3, 1.9)),
    "exp2": (np.exp2, magnitudes(-3, 2)),
    "expm1": (np.expm1, magnitudes(-6, 1.9)),
    "log": (np.log, POSITIVE),
    "log1p": (np.log1p, np.concatenate([magnitudes(-6, -0.01), POSITIVE])),
    "logistic": (scipy.special.expit, magnitudes(-3, 1.9)),
    "tanh": (np.tanh, magnitudes(-6, 1.3)),
    "sinh": (np.sinh, magnitudes(-6, 1.9)),
    "cosh": (np.cosh, magnitudes(-6, 1.9)),
    "asinh": (np.arcsinh, magnitudes(-8, 8)),
    "acosh": (np.arccosh, 1 + np.abs(magnitudes(-6, 8))),
    "atanh": (np.arctanh, up_to_one()),
    "sin": (np.sin, magnitudes(-6, 4)),
    "cos": (np.cos, magnitudes(-6, 4)),
    "tan": (np.tan, magnitudes(-6, 2)),
    "asin": (np.arcsin, up_to_one()),
    "acos": (np.arccos, up_to_one()),
    "atan": (np.arctan, magnitudes(-6, 6)),
    "erf": (scipy.special.erf, magnitudes(-6, 1)),
    "erfc": (scipy.special.erfc, magnitudes(-6, 0.95)),
    "erf_inv": (scipy.special.erfinv, up_to_one()),
    "sqrt": (np.sqrt, POSITIVE),
    "rsqrt": (lambda x: 1 / np.sqrt(x), POSITIVE),
    "cbrt": (np.cbrt, magnitudes(-10, 10)),
    "square": (np.square, magnitudes(-10, 10)),
}


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_kernel_stays_within(name: str, dtype: str) -> None:
    """Also where the result is too small for full precision."""
    truth, places = TRUTHS[name]
    fn = getattr(lax, name)
    x = jnp.asarray(places, dtype)
    with np.errstate(all="ignore"):
        value = truth(np.asarray(x).astype(np.float64))
    _, bound = bounding(fn, x)(x)
    inside = np.abs(value) < float(jnp.finfo(dtype).max)
    assert inside.sum() > COUNT / 3
    assert (distance_of(jax.jit(fn)(x), value) <= bound)[inside].all()
    # A few roundings of the result are most of it; 64 would let the classic faults pass.
    full = inside & (np.abs(value) > float(jnp.finfo(dtype).smallest_normal))
    assert np.median((bound / np.abs(value))[full]) < 64 * roundoff(dtype)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_oracles_kernel_stays_within_its_own_bound(name: str) -> None:
    truth, places = TRUTHS[name]
    x = jnp.asarray(places, jnp.float32)
    with np.errstate(all="ignore"):
        expected = truth(np.asarray(x, np.float64))
    value, bound = bounding(getattr(lax, name), x, ideal=True)(x)
    inside = np.isfinite(expected)
    # The truth is rounded too.
    allowed = bound + 4 * roundoff("float64") * np.abs(expected)
    assert (distance_of(value, expected) <= allowed)[inside].all()


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("seed", range(3))
def test_an_error_of_the_argument_moves_it_no_farther(name: str, seed: int) -> None:
    _, places = TRUTHS[name]
    x = np.random.default_rng(seed).choice(places[np.abs(places) < 20], 50)
    errors = 1e-7 * np.abs(x)
    if name in ("asin", "acos", "atanh", "erf_inv", "acosh"):
        errors = np.minimum(errors, np.abs(1 - np.abs(x)) / 2)
    (distance,), (bound,) = perturbed(getattr(lax, name), [x], [errors], seed)
    assert (distance <= bound * (1 + 1e-3)).all()
    assert (distance > bound / 100).any()


def test_a_root_at_zero_and_an_angle_at_one_have_a_bound() -> None:
    """Where slopes are infinite."""
    for fn, x in ((jnp.sqrt, 0.0), (jnp.arccos, 1.0), (jnp.arcsin, -1.0), (lax.acosh, 1.0)):
        _, (bound,) = perturbed(fn, [np.array(x)], [np.array(1e-4)], 0)
        assert 1e-3 < bound < 0.1


JUMPS = {"floor": jnp.floor, "ceil": jnp.ceil, "round": jnp.round, "sign": jnp.sign}


@pytest.mark.parametrize("name", JUMPS)
@pytest.mark.parametrize("seed", range(10))
def test_a_jump_counts_where_an_error_reaches_it(name: str, seed: int) -> None:
    x, e = np.array([-1.02, -0.48, 0.03, 0.2, 1.5, 2.98]), np.full(6, 0.05)
    (distance,), (bound,) = perturbed(JUMPS[name], [x], [e], seed)
    assert (distance <= bound).all()
    assert bound[3] == 0
    assert bound.max() > 0


@pytest.mark.parametrize("seed", range(10))
def test_an_angle_jumps_across_the_negative_axis(seed: int) -> None:
    y, x = np.array([0.01, 0.5, 0.01, 0.0]), np.array([-2.0, -2, 2, -1])
    errors = [np.array([0.05, 0.05, 0.05, 0]), np.full(4, 0.01)]
    (distance,), (bound,) = perturbed(jnp.arctan2, [y, x], errors, seed)
    assert (distance <= bound * 1.2).all()
    np.testing.assert_array_equal(bound > 6, [True, False, False, False])


def tilted(y: Any, x: Any) -> Any:
    return jnp.arctan2(third(y), x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_angle_stays_within(dtype: str) -> None:
    case = Case(tilted, lambda y, x: tilted(x, y), ((9, 9), (9, 9)))
    check_within(case, dtype)
    check_another_exceeds(case, dtype)
