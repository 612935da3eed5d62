"""The oracle is what it says: as wide as it says, everywhere, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL, small_case, tap_count

from parity.errors import RequestError
from parity.program.jaxprs import Widening, evaluate, is_float
from parity.program.oracle import Oracle, OracleDType
from parity.program.stages import Stage

pytestmark = pytest.mark.quick


def widened(fn, *args, dtype: OracleDType = "float64"):
    stage = Stage("", "whole", lambda *a, tap: tap("out", fn(*a)), args)
    return Oracle([stage], dtype).free()["out"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_tap_is_of_the_oracles_dtype(dtype: OracleDType) -> None:
    official, _ = small_case().sources()
    trace = Oracle(official.stages, dtype).free()
    assert len(trace.specs) == tap_count(SMALL.num_blocks, whole=True)
    assert {spec.dtype for spec in trace.specs} == {dtype}


def test_float64_stays_in_its_scope() -> None:
    official, _ = small_case().sources()
    Oracle(official.stages, "float64").free()
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == jnp.float32


def test_no_operation_of_the_model_is_narrower_than_the_oracle() -> None:
    """RoPE included, which the official package computes in float32 whatever the weights are."""
    official, _ = small_case().sources()
    stage = official.stages[1]
    x = jax.ShapeDtypeStruct((2, 20, SMALL.width), jnp.bfloat16)
    program = jax.make_jaxpr(lambda *a: stage.fn(*a, tap=lambda _, v: v))(*stage.args, x)
    with jax.enable_x64(True):
        wide = Widening("float64").program(program)
    dtypes = {
        var.aval.dtype for eqn in wide.jaxpr.eqns for var in eqn.outvars if is_float(var.aval.dtype)
    }
    assert dtypes == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    "narrowed",
    [lambda x: x.astype(jnp.bfloat16), lambda x: jax.lax.reduce_precision(x, 8, 7)],
    ids=["cast", "reduce_precision"],
)
def test_a_cast_to_a_narrower_float_rounds_nothing(narrowed) -> None:
    x = jnp.linspace(0.1, 1, 7)
    out = widened(lambda x: narrowed(x / 3) * 3, x)
    np.testing.assert_allclose(out, np.asarray(x, np.float64), rtol=1e-15)


def test_it_agrees_with_numpy_in_float64() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((5, 64)), rng.standard_normal((64, 3))
    x16, w16 = (jnp.asarray(a, jnp.bfloat16) for a in (x, w))
    out = widened(lambda x, w: jax.nn.softmax(x @ w, axis=-1), x16, w16)
    logits = np.asarray(x16, np.float64) @ np.asarray(w16, np.float64)
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    np.testing.assert_allclose(out, exponents / exponents.sum(-1, keepdims=True), rtol=1e-13)


def test_constants_are_not_those_of_bfloat16() -> None:
    """1e-3 is 0.00099945 in bfloat16, where the program is traced for bfloat16 arguments."""
    out = widened(lambda x: x + 1e-3, jnp.zeros(1, jnp.bfloat16))
    np.testing.assert_allclose(out, 1e-3, rtol=1e-7)


def scanned(x):
    def step(carry, row):
        carry = carry * 0.5 + row
        return carry, carry

    return jax.lax.scan(step, jnp.zeros(x.shape[1], x.dtype), x)[1]


def looped(x):
    return jax.lax.while_loop(lambda v: v.sum() < 100, lambda v: v * 1.1, x)


def chosen(x):
    return jax.lax.cond(x.sum() > 0, lambda v: v / 3, lambda v: v, x)


@pytest.mark.parametrize(
    "fn",
    [scanned, looped, chosen, jax.nn.relu, jax.jit(jnp.tanh), jax.checkpoint(jnp.sin)],
    ids=["scan", "while", "cond", "custom_jvp", "jit", "checkpoint"],
)
def test_calls_and_loops_are_entered(fn) -> None:
    x = jnp.linspace(0.1, 1, 12).reshape(3, 4)
    with jax.enable_x64(True):
        expected = np.asarray(fn(jnp.asarray(np.asarray(x), jnp.float64)))
    out = widened(fn, x)
    assert out.dtype == np.float64
    # Constants were rounded to float32 when the function was traced.
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_reading_a_floats_bits_is_refused() -> None:
    with pytest.raises(RequestError, match="bitcast_convert_type has no meaning in float64"):
        widened(lambda x: jax.lax.bitcast_convert_type(x, jnp.uint32), jnp.ones(2))


def test_evaluate_takes_closed_over_arrays() -> None:
    table = jnp.arange(3.0)
    program = jax.make_jaxpr(lambda x: x + table)(jnp.ones(3))
    rule = Widening("float32")
    (out,) = evaluate(program, [jnp.ones(3)], rule, rule.constant)
    np.testing.assert_array_equal(out, [1, 2, 3])
