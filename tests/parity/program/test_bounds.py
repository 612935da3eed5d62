"""Bounds hold for what rounding does, and are not so wide that they hold for everything."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.program.bounded import roundoff
from parity.program.bounds import Bounds, RunningError
from parity.program.jaxprs import evaluate
from parity.program.oracle import Oracle, trace_of
from parity.program.stages import Stage
from parity.program.summation import summation_constant

FUNCTIONS = {
    "softmax": lambda x: jax.nn.softmax(x, axis=-1),
    "masked softmax": lambda x: jax.nn.softmax(jnp.where(x > 0, x, -2.3819763e38), axis=-1),
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
    "rms norm": lambda x: x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6),
    "layer norm": jax.nn.standardize,
    "matmul": lambda x: jnp.tanh(x @ x.T),
    "sum": lambda x: jnp.sum(x, -1),
    "pow": lambda x: jnp.abs(x) ** 1.5,
    "log": lambda x: jnp.log(1 + jnp.abs(x)) / jnp.sqrt(1 + x * x),
    "rope": lambda x: x * jnp.cos(jnp.arange(16) / 100.0) - jnp.sin(x),
    "relu": lambda x: jnp.maximum(x, 0) - jnp.minimum(x, -0.5),
    "cut": lambda x: jnp.stack([x[:, :4], jnp.pad(x[:, 8:10], ((0, 0), (1, 1)))]) / 3,
}


def deviation_and_bound(fn, x):
    """How far two evaluations of `fn` in x's dtype lie from float64, and half their bound."""
    stage = Stage("", "whole", lambda x, *, tap: tap("out", fn(x)), (x,))
    truth = Oracle([stage], "float64").free()["out"]
    own, _ = Bounds("float64").on(stage, trace_of({}))["out"]
    runs = [fn(x), jax.jit(fn)(x)]
    deviations = [np.abs(np.asarray(run).astype(np.float64) - truth) for run in runs]
    return deviations, own / 2


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_computed_stays_within(name: str, dtype: str) -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 16)), dtype)
    deviations, bound = deviation_and_bound(FUNCTIONS[name], x)
    assert np.isfinite(bound).all()
    for deviation in deviations:
        assert (deviation <= bound).all()
        # Within a factor that would let the classic faults pass, it would be no bound.
        used = deviation.max() / bound.reshape(-1)[deviation.argmax()]
        assert used > 1e-3 or deviation.max() == 0


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.integers(2, 64))
def test_it_holds_at_any_scale(seed: int, exponent: float, width: int) -> None:
    x = np.random.default_rng(seed).standard_normal((4, width)) * 10.0**exponent
    deviations, bound = deviation_and_bound(FUNCTIONS["rms norm"], jnp.asarray(x, jnp.bfloat16))
    assert all((deviation <= bound).all() for deviation in deviations)


def test_an_operation_without_a_rule_has_no_bound() -> None:
    program = jax.make_jaxpr(jax.lax.lgamma)(jnp.ones(3))
    rule = RunningError("float32")
    (out,) = evaluate(program, [rule.exact(jnp.ones(3))], rule, rule.constant)
    assert np.isinf(out.bound).all()


def test_moves_keep_an_exact_value_exact() -> None:
    program = jax.make_jaxpr(lambda x: x.reshape(3, 2).T[:, :1])(jnp.ones(6))
    rule = RunningError("float32")
    (out,) = evaluate(program, [rule.exact(jnp.ones(6))], rule, rule.constant)
    assert out.error is None


def test_an_ideal_bound_charges_long_constants_only() -> None:
    rule = RunningError("float32", ideal=True)
    assert float(rule.constant(jnp.float32(10_000)).bound) == 0
    assert float(rule.constant(jnp.float32(0.1)).bound) == pytest.approx(0.1 * 2**-24)


def test_an_ideal_bound_charges_narrow_constants_with_what_was_lost() -> None:
    """Where a function was traced in its own dtype; narrow arrays are data, and exact."""
    rule = RunningError("float32", ideal=True)
    tenth = jnp.bfloat16(0.1)
    assert float(rule.constant(jnp.bfloat16(0.5)).bound) == 0
    assert float(rule.constant(tenth).bound) == pytest.approx(float(tenth) * 2**-8)
    assert not rule.constant(jnp.full(3, tenth)).bound.any()


def test_an_ideal_bound_charges_complex_constants_too() -> None:
    rule = RunningError("float32", ideal=True)
    assert float(rule.constant(jnp.complex64(2j)).bound) == 0
    assert float(rule.constant(jnp.complex64(0.3 + 0.4j)).bound) == pytest.approx(0.5 * 2**-24)


def test_summation_constant_grows_as_the_square_root_of_the_length() -> None:
    unit = roundoff("float32")
    assert unit == 2**-24
    ratio = summation_constant(40_000, 1, unit) / summation_constant(10_000, 1, unit)
    assert 2 < ratio < 2.1
    # Far below the deterministic n u, and never below one rounding.
    assert unit < summation_constant(10_000, 1, unit) < 10_000 * unit


def test_reordered_sums_stay_within_the_summation_constant() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4096)).astype(np.float32)
    order = [np.add.accumulate(rng.permuted(x, axis=1), axis=1)[:, -1] for _ in range(3)]
    exact = np.array([math.fsum(row) for row in x.astype(np.float64)])
    limit = summation_constant(4096, 200, roundoff("float32")) * np.abs(x).sum(1)
    for total in order:
        assert (np.abs(total - exact) <= limit).all()
