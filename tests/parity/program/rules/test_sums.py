"""Sums, products, convolutions and prefix sums: bounds hold, and tell another formula."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import (
    DTYPES,
    Case,
    along,
    check_another_exceeds,
    check_within,
    perturbed,
    pooled,
    prefix_case,
    samples,
    third,
)
from jax import lax


def convolution(x: Any, kernel: Any, *, flip: bool = False, **options: Any) -> Any:
    kernel = jnp.flip(kernel, (0, 1)) if flip else kernel
    numbers = ("NHWC", "HWIO", "NHWC")
    options = {"window_strides": (1, 1), "padding": "SAME", **options}
    return lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **options)


def conv_case(shape: Any, kernel: Any, **options: Any) -> Case:
    order = np.random.default_rng(0).permutation(kernel[2])

    def reordered(x: Any, k: Any) -> Any:
        return convolution(third(x)[..., order], third(k)[:, :, order], **options)

    grouped = "feature_group_count" in options or "batch_group_count" in options
    return Case(
        lambda x, k: convolution(third(x), third(k), **options),
        lambda x, k: convolution(third(x), third(k), flip=True, **options),
        (shape, kernel),
        () if grouped else (reordered,),
    )


def first_axes(x: Any, kernel: Any, *, flip: bool = False) -> Any:
    kernel = jnp.flip(kernel, -1) if flip else kernel
    return lax.conv_general_dilated(
        x, kernel, (2,), [(2, 1)], dimension_numbers=("NCW", "OIW", "CNW")
    )


def sequential_cumsum(x: Any) -> Any:
    """In one pass that accumulates in float32."""
    steps = third(x).astype(jnp.float32).T
    total = jnp.zeros_like(steps[0])
    return lax.scan(lambda total, row: (total + row, total + row), total, steps)[1].T


def logsumexp_in_turn(x: Any) -> Any:
    """One element after the other."""

    def step(total: Any, row: Any) -> Any:
        total = jnp.logaddexp(total, row)
        return total, total

    rows = third(x).T
    return jnp.concatenate([rows[:1], lax.scan(step, rows[0], rows[1:])[1]]).T


def experts(x: Any, w: Any, sizes: tuple[int, ...] = (3, 5)) -> Any:
    return lax.ragged_dot(third(x), third(w), jnp.array(sizes))


def split_experts(x: Any, w: Any) -> Any:
    x, w = third(x), third(w)
    return jnp.concatenate([x[:3] @ w[0], x[3:] @ w[1]])


CASES = {
    "convolution": conv_case((2, 7, 8, 5), (3, 2, 5, 4)),
    "strided convolution": conv_case(
        (2, 9, 8, 6), (3, 3, 6, 4), window_strides=(2, 1), padding=[(1, 0), (2, 2)]
    ),
    "grouped convolution": conv_case((2, 7, 8, 6), (3, 3, 1, 12), feature_group_count=6),
    "convolution grouped by batch": conv_case((4, 7, 8, 3), (3, 3, 3, 6), batch_group_count=2),
    "dilated convolution": conv_case((1, 9, 9, 4), (3, 3, 4, 4), rhs_dilation=(2, 3)),
    "transposed convolution": conv_case(
        (1, 5, 5, 4), (3, 3, 4, 4), lhs_dilation=(2, 2), padding=[(1, 1), (2, 1)]
    ),
    "convolution of other layouts": Case(
        lambda x, k: first_axes(third(x), third(k)),
        lambda x, k: first_axes(third(x), third(k), flip=True),
        ((2, 5, 20), (3, 5, 4)),
    ),
    "ragged product": Case(
        experts, lambda x, w: experts(x, w, (4, 4)), ((8, 6), (2, 6, 5)), (split_experts,)
    ),
    "cumsum": prefix_case(lax.cumsum, 0.0, sequential_cumsum),
    "reversed cumsum": Case(along(lax.cumsum, reverse=True), along(lax.cumsum), ((3, 50),)),
    "cumprod": Case(
        lambda x: lax.cumprod(1 + third(x), axis=1),
        lambda x: lax.cumprod(1 + third(x), axis=1, reverse=True),
        ((3, 20),),
        (lambda x: lax.cumprod((1 + third(x))[:, ::-1], axis=1, reverse=True)[:, ::-1],),
    ),
    "cumlogsumexp": prefix_case(lax.cumlogsumexp, -9.0, logsumexp_in_turn),
    "average pool": Case(
        lambda x: pooled(x, 0.0, lax.add),
        lambda x: pooled(jnp.roll(x, 1, 0), 0.0, lax.add),
        ((9, 9),),
        (lambda x: pooled(x[::-1, ::-1], 0.0, lax.add)[::-1, ::-1],),
    ),
    "product": Case(
        lambda x: jnp.prod(1 + third(x), -1),
        lambda x: jnp.prod(1 + third(x)[:, 1:], -1),
        again=(lambda x: jnp.prod(1 + third(x)[:, ::-1], -1),),
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


def test_a_long_prefix_sum_in_a_narrow_dtype_stays_within() -> None:
    """Where nothing cancels, roundings of the tree's levels show."""
    long = Case(lambda x: lax.cumsum(jnp.abs(x), axis=1), lambda x: x, ((2, 3000),))
    check_within(long, "bfloat16", seeds=1)


LINEAR = {
    "sum": lambda x, _: x.sum(0),
    "matmul": lambda x, y: x @ y.T,
    "convolution": lambda x, y: convolution(x[None, :, :, None], y[:2, :2, None, None]),
    "ragged": lambda x, y: lax.ragged_dot(x, jnp.stack([y.T, y.T + 1]), jnp.array([1, 4])),
    "cumsum": lambda x, _: lax.cumsum(x, axis=1, reverse=True),
    "cumlogsumexp": lambda x, _: lax.cumlogsumexp(x, axis=1),
    "cumprod": lambda x, _: lax.cumprod(x, axis=0),
    "product": lambda x, _: jnp.prod(x, 1),
    "pool": lambda x, _: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 2), "SAME"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_errors_of_the_inputs_move_it_no_farther(name: str) -> None:
    fn = LINEAR[name]
    x, y = (np.asarray(samples(seed, 5, 6), np.float64) for seed in (0, 1))
    for seed in range(10):
        errors = [1e-6 * np.abs(samples(seed + i, 5, 6)) for i in (2, 3)]
        (distance,), (bound,) = perturbed(fn, [x, y], errors, seed)
        assert (distance <= bound * (1 + 1e-3)).all()
        assert distance.max() > bound.max() / 100


def test_a_ragged_product_of_uncertain_groups_has_no_bound() -> None:
    def grouped(x: Any) -> Any:
        return lax.ragged_dot(jnp.ones((4, 2)), jnp.ones((2, 2, 3)), x.astype(jnp.int32))

    _, (bound,) = perturbed(grouped, [np.array([1.5, 2.5])], [np.array([0.1, 0.1])], 0)
    assert np.isfinite(bound).all()
    _, (bound,) = perturbed(grouped, [np.array([1.9, 2.5])], [np.array([0.2, 0.1])], 0)
    assert np.isinf(bound).all()
