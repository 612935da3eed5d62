"""Arithmetic, casts and complex numbers: bounds hold, and tell another formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
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
    samples,
    third,
)
from jax import lax


def rotated(x: Any) -> Any:
    """By position, as complex numbers."""
    angles = jnp.arange(6.0)[:, None] * jnp.arange(1.0, 9) / 7
    pairs = lax.complex(x[:, :8].astype(jnp.float32), x[:, 8:].astype(jnp.float32))
    turned = pairs * jnp.exp(1j * angles)
    return jnp.concatenate([turned.real, turned.imag], -1)


def rotated_in_halves(x: Any, sign: int = 1) -> Any:
    angles = jnp.arange(6.0)[:, None] * jnp.arange(1.0, 9) / 7
    sin, cos = sign * jnp.sin(angles), jnp.cos(angles)
    a, b = (half.astype(jnp.float32) for half in (x[:, :8], x[:, 8:]))
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def masked_softmax(x: Any, mask: Any) -> Any:
    return jax.nn.softmax(jnp.where(mask, third(x) @ third(x).T, -jnp.inf), axis=-1)


CASES = {
    "remainder": Case(
        lambda x: jnp.mod(x * 3, third(2.0)), lambda x: jnp.mod(x * 3, third(2.0)) - 0.1
    ),
    "to integers": Case(
        lambda x: (x * 3.3).astype(jnp.int32), lambda x: (x * 4.3).astype(jnp.int32)
    ),
    "reduced precision": Case(
        lambda x: lax.reduce_precision(third(x), 8, 5), lambda x: third(x) * 1.1
    ),
    "complex rotation": Case(
        rotated, lambda x: rotated_in_halves(x, -1), again=(rotated_in_halves,)
    ),
    "softmax masked by infinities": Case(
        lambda x: masked_softmax(x, jnp.tril(jnp.ones((6, 6), bool))),
        lambda x: masked_softmax(x, jnp.ones((6, 6), bool)),
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


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, y: x + y - 2 * x,
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / y,
    "power": lambda x, y: jnp.abs(x) ** y,
    "integer power": lambda x, y: x**3 + y**-2,
    "remainder": lambda x, y: lax.rem(x, y),
    "complex product": lambda x, y: jnp.abs(lax.complex(x, y) * lax.complex(y, -x)),
    "complex quotient": lambda x, y: jnp.imag(lax.complex(x, y) / lax.complex(y, 2 * x)),
    "complex exponential": lambda x, y: jnp.real(jnp.exp(lax.complex(x, y))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_of_the_inputs_move_it_no_farther(name: str) -> None:
    x, y = (np.asarray(samples(seed, 50), np.float64) for seed in (0, 1))
    for seed in range(5):
        errors = [1e-6 * np.abs(samples(seed + i, 50)) for i in (2, 3)]
        (distance,), (bound,) = perturbed(FUNCTIONS[name], [x, y], errors, seed)
        assert (distance <= bound * (1 + 1e-3)).all()
        assert (distance > bound / 100).any()


@pytest.mark.parametrize("seed", range(10))
def test_a_remainder_may_jump(seed: int) -> None:
    x, y = np.array([-4.0, -2.02, 0.01, 1.99, 2.0, 4.1]), np.full(6, 2.0)
    errors = [np.full(6, 0.05), np.full(6, 0.01)]
    (distance,), (bound,) = perturbed(lax.rem, [x, y], errors, seed)
    assert (distance <= bound * 1.01).all()
    np.testing.assert_array_equal(bound < 0.2, [False, False, True, False, False, True])


@pytest.mark.parametrize("seed", range(10))
def test_integers_that_floats_make_carry_their_errors_on(seed: int) -> None:
    def integers(x: Any) -> Any:
        n = x.astype(jnp.int32)
        return jnp.maximum(-n * 3 + jnp.arange(4), n.sum()), n.astype(jnp.float32), n // 2

    x, e = np.array([0.5, 1.98, -2.02, 7]), np.array([0.1, 0.1, 0.1, 0])
    for distance, bound in zip(*perturbed(integers, [x], [e], seed), strict=True):
        assert (distance <= bound).all()
    assert bound[0] == 0


def test_integers_that_a_float_holds_are_exact() -> None:
    def positions(x: Any) -> Any:
        return jnp.arange(300).astype(x.dtype) + 0 * x

    _, bound = bounding(positions, jnp.zeros(300, jnp.bfloat16))(jnp.zeros(300, jnp.bfloat16))
    # The sum is rounded as well.
    np.testing.assert_array_equal(bound[1:257] / np.arange(1, 257), 2.0**-8)
    assert bound[257] / 257 > 2.0**-8


def test_an_infinity_is_not_rounded() -> None:
    """-inf masks a score; a bound of it would be infinite, and everything after it."""

    def masked(x: Any) -> Any:
        scores = jnp.where(x > 0, third(x), -jnp.inf)
        return jnp.exp((scores - scores.max()) * third(jnp.ones_like(x)))

    x = samples(0, 20, dtype="bfloat16")
    value, bound = bounding(masked, x)(x)
    assert (bound[value == 0] == 0).all()
    assert np.isfinite(bound).all()


def vanishing(x: Any) -> Any:
    """Weights from 1 down to less than the smallest number of float32."""
    return jnp.exp(-jnp.arange(24) * third(jnp.asarray(13, x.dtype))) * jnp.abs(x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_is_too_small_for_its_dtype_is_covered(dtype: str) -> None:
    case = Case(vanishing, vanishing, ((5, 24),), (lambda x: jnp.abs(x) * vanishing(x / x),))
    check_within(case, dtype)


def test_zero_stays_exact() -> None:
    """A weight that is 0 in float64 as well decides nothing."""

    def weights(x: Any) -> Any:
        return jnp.exp(third(x) - 1e5)

    _, bound = bounding(weights, jnp.ones(3))(jnp.ones(3))
    np.testing.assert_array_equal(bound, 0)


def test_complex_products_and_sums_stay_within() -> None:
    def mixed(x: Any) -> Any:
        z = lax.complex(third(x), x[:, ::-1])
        return jnp.abs((z @ z.T).sum(0))

    check_within(Case(mixed, mixed, ((6, 16),), (lambda x: mixed(x[::-1])[::-1],)), "float32")
