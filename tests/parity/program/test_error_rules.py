"""Every rule: what two roundings make stays within its bound, and another formula does not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import Bounding, bounding, samples
from jax import lax

from parity.program.error_rules import COMPLEX, EXACT, RULES
from parity.program.rules import loops

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Case:
    """A function, the same rounded elsewhere, and another one that might be taken for it.

    Attributes:
      shapes: of its arguments, which are standard normal.
      dtypes: in which it can be run.
    """

    fn: Callable[..., Any]
    wrong: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = ((6, 16),)
    again: tuple[Callable[..., Any], ...] = ()
    dtypes: tuple[str, ...] = field(default=DTYPES)

    def arguments(self, dtype: str, seed: int) -> list[Any]:
        return [samples(seed * 10 + i, *s, dtype=dtype) for i, s in enumerate(self.shapes)]


def third(x: Any) -> Any:
    """A rounded value, so that what follows has an input with an error."""
    return x / 3


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


def exclusive(prefix: Callable[..., Any], start: float) -> Callable[..., Any]:
    def shifted(x: Any) -> Any:
        found = prefix(x)
        return jnp.concatenate([jnp.full_like(found[:, :1], start), found[:, :-1]], -1)

    return shifted


def along(prefix: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return lambda x: prefix(third(x), axis=1, **options)


def prefix_case(prefix: Callable[..., Any], start: float, *again: Callable[..., Any]) -> Case:
    return Case(along(prefix), exclusive(along(prefix), start), ((3, 50),), again)


def scaled_case(fn: Callable[[Any], Any], prepare: Callable[[Any], Any], scale: float) -> Case:
    """A function of one element; the other one is a little larger everywhere."""
    return Case(lambda x: fn(prepare(x)), lambda x: fn(prepare(x)) * scale, ((6, 16),))


def inside(x: Any) -> Any:
    """Between -1 and 1."""
    return third(x) / (1 + jnp.abs(third(x)))


PLACES = jnp.array([0, 3, 3, 1, 3])


def pooled(x: Any, start: float, combine: Any, strides: tuple[int, int] = (2, 2)) -> Any:
    return lax.reduce_window(third(x), start, combine, (3, 3), strides, "VALID")


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


def spectrum(x: Any) -> Any:
    return jnp.fft.fft2(third(x).astype(jnp.float32)).real


def slow_spectrum(x: Any) -> Any:
    """By the definition, as two matrix products."""
    x = third(x).astype(jnp.float32)
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in x.shape
    )
    return (rows.astype(np.complex64) @ x @ columns.astype(np.complex64)).real


def filtered(x: Any, shift: int = 0) -> Any:
    spectrum = jnp.fft.rfft(third(x).astype(jnp.float32))
    return jnp.fft.irfft(spectrum * jnp.arange(spectrum.shape[-1]), n=x.shape[-1]) + shift * x


def experts(x: Any, w: Any, sizes: tuple[int, ...] = (3, 5)) -> Any:
    return lax.ragged_dot(third(x), third(w), jnp.array(sizes))


def split_experts(x: Any, w: Any) -> Any:
    x, w = third(x), third(w)
    return jnp.concatenate([x[:3] @ w[0], x[3:] @ w[1]])


def masked_softmax(x: Any, mask: Any) -> Any:
    return jax.nn.softmax(jnp.where(mask, third(x) @ third(x).T, -jnp.inf), axis=-1)


def layers(x: Any, w: Any, epsilon: float = 1e-2) -> Any:
    def layer(x: Any, w: Any) -> Any:
        x = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon)
        return jnp.tanh(x @ w), None

    return lax.scan(layer, x, w)[0]


def unrolled_layers(x: Any, w: Any) -> Any:
    for each in w:
        x = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-2)
        x = jnp.tanh(x @ each)
    return x


def recurrence(x: Any, decay: float = 0.9) -> Any:
    def combine(a: Any, b: Any) -> Any:
        return a[0] * b[0], b[0] * a[1] + b[1]

    decays = jnp.full_like(x, decay)
    return lax.associative_scan(combine, (decays, third(x)), axis=1)[1]


def stepped_recurrence(x: Any) -> Any:
    def step(state: Any, row: Any) -> Any:
        state = jnp.asarray(0.9, x.dtype) * state + row
        return state, state

    return lax.scan(step, jnp.zeros_like(x[:, 0]), third(x).T)[1].T


def largest(x: Any, skip: int = 0) -> Any:
    return lax.top_k(third(x), 3 + skip)[0][:, skip:]


def halved(x: Any, turns: int = 3) -> Any:
    return lax.while_loop(lambda s: s[0] < turns, lambda s: (s[0] + 1, third(s[1]) + 1), (0, x))[1]


def branched(x: Any, index: int = 1) -> Any:
    branches = [lambda v: v * 3, lambda v: v / 3, lambda v: v]
    return lax.switch(jnp.asarray(index) + jnp.argmax(jnp.arange(3) == 5), branches, third(x))


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
        exclusive(lambda x: lax.cumprod(1 + third(x), axis=1), 1.0),
        ((3, 20),),
    ),
    "cumlogsumexp": prefix_case(lax.cumlogsumexp, -np.inf),
    "cummax": prefix_case(lax.cummax, -np.inf),
    "cummin": prefix_case(lax.cummin, np.inf),
    "product": Case(
        lambda x: jnp.prod(1 + third(x), -1),
        lambda x: jnp.prod(1 + third(x)[:, 1:], -1),
        again=(lambda x: jnp.prod(1 + third(x)[:, ::-1], -1),),
    ),
    "sort": Case(lambda x: jnp.sort(third(x)), lambda x: -jnp.sort(-third(x))),
    "top-k": Case(largest, lambda x: largest(x, 1)),
    "clamp": Case(
        lambda x: jnp.clip(third(x), -0.2, third(1.0)), lambda x: jnp.clip(third(x), -0.2, 0.4)
    ),
    "average pool": Case(
        lambda x: pooled(x, 0.0, lax.add), lambda x: pooled(x, 0.0, lax.add)[::-1], ((9, 9),)
    ),
    "max pool": Case(
        lambda x: pooled(x, -jnp.inf, lax.max), lambda x: pooled(x, -jnp.inf, lax.max).T, ((9, 9),)
    ),
    "min pool": Case(
        lambda x: pooled(x, jnp.inf, lax.min), lambda x: pooled(x, jnp.inf, lax.min).T, ((9, 9),)
    ),
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
    "gather": Case(lambda x: third(x)[PLACES], lambda x: third(x)[PLACES + 1]),
    "dynamic slice": Case(
        lambda x: lax.dynamic_slice(third(x), (1, 2), (3, 4)),
        lambda x: lax.dynamic_slice(third(x), (1, 3), (3, 4)),
    ),
    "dynamic update": Case(
        lambda x: lax.dynamic_update_slice(third(x), third(x[:2, :2]), (1, 2)),
        lambda x: lax.dynamic_update_slice(third(x), third(x[:2, :2]), (2, 2)),
    ),
    "selects": Case(
        lambda x: jnp.where(third(x) > 0, x, jnp.where(x < -1, -1.0, third(x))),
        lambda x: jnp.where(third(x) > 0, x, jnp.where(x < -1, -0.9, third(x))),
        again=(lambda x: jnp.where(x < -1, -1.0, jnp.maximum(third(x), jnp.where(x > 0, x, -1))),),
    ),
    "elu": Case(lambda x: jax.nn.elu(third(x)), lambda x: jax.nn.selu(third(x))),
    "expm1": scaled_case(jnp.expm1, third, 1.1),
    "exp2": scaled_case(jnp.exp2, third, 1.1),
    "cbrt": scaled_case(jnp.cbrt, third, 1.1),
    "sinh": scaled_case(jnp.sinh, third, 1.1),
    "cosh": scaled_case(jnp.cosh, third, 1.1),
    "tan": scaled_case(jnp.tan, inside, 1.1),
    "asin": scaled_case(jnp.arcsin, inside, 1.1),
    "acos": scaled_case(jnp.arccos, inside, 1.1),
    "atan": scaled_case(jnp.arctan, third, 1.1),
    "asinh": scaled_case(lax.asinh, third, 1.1),
    "acosh": scaled_case(lax.acosh, lambda x: 2 + jnp.abs(third(x)), 1.1),
    "atanh": scaled_case(lax.atanh, inside, 1.1),
    "erf_inv": scaled_case(lax.erf_inv, inside, 1.1),
    "erfc": scaled_case(lax.erfc, lambda x: x * 2, 1.1),
    "sqrt": scaled_case(jnp.sqrt, lambda x: jnp.abs(third(x)), 1.1),
    "atan2": Case(
        lambda y, x: jnp.arctan2(third(y), x), lambda y, x: jnp.arctan2(x, y), ((9, 9), (9, 9))
    ),
    "remainder": Case(
        lambda x: jnp.mod(x * 3, third(2.0)), lambda x: jnp.mod(x * 3, third(2.0)) - 0.1
    ),
    "floor": Case(lambda x: jnp.floor(x * 3.3), lambda x: jnp.round(x * 3.3)),
    "ceil": Case(lambda x: jnp.ceil(x * 3.3), lambda x: jnp.floor(x * 3.3)),
    "round": Case(lambda x: jnp.round(x * 3.3), lambda x: jnp.trunc(x * 3.3)),
    "sign": Case(lambda x: jnp.sign(third(x) - 0.1), lambda x: jnp.sign(third(x) - 0.3)),
    "to integers": Case(
        lambda x: (x * 3.3).astype(jnp.int32), lambda x: (x * 4.3).astype(jnp.int32)
    ),
    "reduced precision": Case(
        lambda x: lax.reduce_precision(third(x), 8, 5), lambda x: third(x) * 1.1
    ),
    "fft": Case(spectrum, lambda x: spectrum(x[::-1]), ((8, 12),), (slow_spectrum,)),
    "real fft and back": Case(filtered, lambda x: filtered(x, 1), ((5, 16),)),
    "complex rotation": Case(
        rotated, lambda x: rotated_in_halves(x, -1), again=(rotated_in_halves,)
    ),
    "softmax masked by infinities": Case(
        lambda x: masked_softmax(x, jnp.tril(jnp.ones((6, 6), bool))),
        lambda x: masked_softmax(x, jnp.ones((6, 6), bool)),
    ),
    "scan": Case(layers, lambda x, w: layers(x, w, 0.3), ((4, 8), (3, 8, 8)), (unrolled_layers,)),
    "associative scan": Case(
        recurrence, lambda x: recurrence(x, 0.8), ((2, 9),), (stepped_recurrence,)
    ),
    "while": Case(halved, lambda x: halved(x, 4)),
    "branch": Case(branched, lambda x: branched(x, 2)),
}


@functools.cache
def bounded(name: str, dtype: str) -> Bounding:
    case = CASES[name]
    return bounding(case.fn, *case.arguments(dtype, 0))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_computed_stays_within(name: str, dtype: str) -> None:
    case = CASES[name]
    for seed in range(3):
        arguments = case.arguments(dtype, seed)
        deviations, bound = bounded(name, dtype).deviations((case.fn, *case.again), *arguments)
        assert np.isfinite(bound).all()
        for deviation in deviations:
            assert (deviation <= bound).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_another_formula_does_not(name: str, dtype: str) -> None:
    case = CASES[name]
    assert bounded(name, dtype).excess(case.wrong, *case.arguments(dtype, 0)) > 1


def test_every_rule_is_met() -> None:
    """By a case here, or by the functions of tests/parity/program/test_bounds.py."""
    assert EXACT - set(RULES) == {"bitcast_convert_type"}
    assert set(RULES) >= COMPLEX
    assert not set(RULES) & set(loops.RULES)
