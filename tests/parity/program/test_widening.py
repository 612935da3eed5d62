"""Programs in a wider dtype: whatever a model's operations need of their dtypes is kept right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import samples
from jax import lax

from parity.program.jaxprs import operations
from parity.program.oracle import Oracle, OracleDType, unrounded
from parity.program.stages import Stage

NARROW = samples(1, 4, 4, dtype="bfloat16")
KERNEL = samples(2, 2, 2, 3, 5)
PLACES = jnp.array([0, 2, 2])


def widened(fn: Callable[..., Any], *args: Any, dtype: OracleDType = "float64") -> np.ndarray:
    stage = Stage("", "whole", lambda *args, tap: tap("out", fn(*args)), args)
    return Oracle([stage], dtype).free()["out"]


def counted(x: Any) -> Any:
    """Integers that the loop's own code makes."""

    def turn(state: Any, i: Any) -> Any:
        total, count = state
        return (total + x * i, count + 1), jnp.zeros(2) + count

    (total, _), rows = lax.scan(turn, (x, 0), jnp.arange(3))
    return total * rows.sum()


def routed(x: Any) -> Any:
    scores, chosen = lax.top_k(jax.nn.softmax(x), 2)
    return (jax.nn.one_hot(chosen, 4) * scores[..., None]).sum(-2) @ x


def convolved(x: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x[:, :, None, None] * jnp.ones((1, 1, 3, 3), x.dtype),
        KERNEL.astype(x.dtype),
        (1, 1),
        "SAME",
        dimension_numbers=numbers,
        preferred_element_type=jnp.float32,
    )


def windowed(x: Any) -> Any:
    one = jnp.ones((), x.dtype)
    return lax.reduce_window(x, one, lambda a, b: a * b, (2, 2), (1, 1), "VALID")


def folded(x: Any) -> Any:
    return lax.reduce(x, jnp.zeros((), x.dtype), lambda a, b: a + b * b, (1,))


def transformed(x: Any) -> Any:
    turned = jnp.fft.rfft(x.astype(jnp.float32)) * jnp.exp(1j * jnp.arange(3))
    return jnp.fft.irfft(turned, n=4)


MODELS: dict[str, Callable[[Any], Any]] = {
    "counter": counted,
    "router": routed,
    "convolution": convolved,
    "scatter-add": lambda x: x.at[PLACES].add(jnp.ones((3, 4), x.dtype)),
    "scatter-mul": lambda x: x.at[PLACES].multiply(jnp.full((3, 4), 3, x.dtype)),
    "scatter-max": lambda x: x.at[PLACES].max(jnp.ones((3, 4), x.dtype)),
    "window": windowed,
    "reduction": folded,
    "complex": transformed,
    "algorithm": lambda x: lax.dot(x, x, precision=lax.DotAlgorithmPreset.F32_F32_F32),
    "index of a branch": lambda x: lax.switch(
        jnp.argmax(x[0]) % 2, [lambda x: x, lambda x: x * 2], x
    ),
    "segments": lambda x: jax.ops.segment_sum(x, PLACES[:2].repeat(2), 3),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_computes_what_the_model_does(name: str, dtype: OracleDType) -> None:
    x = samples(0, 4, 4)
    out = widened(MODELS[name], x, dtype=dtype)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, np.asarray(MODELS[name](x)), rtol=2e-5, atol=1e-5)


def test_complex_numbers_are_as_wide_as_floats() -> None:
    x = samples(0, 8)
    out = widened(lambda x: jnp.fft.fft(x).real, x)
    np.testing.assert_allclose(out, np.fft.fft(np.asarray(x, np.float64)).real, rtol=1e-13)


def test_random_numbers_are_those_of_the_model() -> None:
    """A float made of random bits is widened; another dtype would be given other numbers."""
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.zeros(20, dtype)
        out = widened(lambda x: x + jax.random.uniform(jax.random.key(0), x.shape, x.dtype), x)
        expected = jax.random.uniform(jax.random.key(0), x.shape, x.dtype)
        np.testing.assert_allclose(out, np.asarray(expected, np.float64), atol=2**-8)


def narrow_product(x: Any) -> Any:
    return lax.dot(x, NARROW)


def narrow_carry(x: Any) -> Any:
    return lax.scan(lambda c, _: (c @ NARROW, None), x, None, 2)[0].astype(jnp.bfloat16)


def narrow_state(x: Any) -> Any:
    return lax.scan(lambda c, row: (c + row, None), jnp.zeros(4, jnp.bfloat16), x)[0]


def particular(x: Any) -> Any:
    assert x.dtype == jnp.bfloat16
    return x * 3


@pytest.mark.parametrize("fn", [narrow_product, narrow_carry, narrow_state, particular])
def test_a_function_that_wants_its_own_dtype_is_traced_in_it(fn: Any) -> None:
    x = samples(0, 4, 4, dtype="bfloat16")
    out = widened(fn, x)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, np.asarray(fn(x), np.float64), rtol=0.1, atol=0.1)
    # Nothing is rounded on the way.
    assert not np.array_equal(out, np.asarray(jnp.asarray(out, jnp.bfloat16), np.float64))


def test_a_function_that_is_wrong_says_so_itself() -> None:
    def wrong(x: Any) -> Any:
        raise TypeError(f"{x.dtype} is one of two dtypes")

    with pytest.raises(TypeError, match="bfloat16 is one of two dtypes"):
        widened(wrong, jnp.zeros(2, jnp.bfloat16))


def test_a_model_is_traced_as_it_runs() -> None:
    """Under x64 `jnp.zeros(2)` would be float64, and a counter int64."""
    seen = []

    def model(x: Any) -> Any:
        seen.extend([jnp.zeros(2).dtype, jnp.arange(2).dtype])
        return x * 2

    widened(model, jnp.ones(2))
    assert set(seen) == {np.dtype("float32"), np.dtype("int32")}


def test_operations_are_found_inside_of_others() -> None:
    def model(x: Any) -> Any:
        def turn(x: Any, _: Any) -> Any:
            return lax.cond(x.sum() > 0, jnp.sin, jax.checkpoint(jnp.tanh), x), None

        return lax.scan(turn, x, None, 2)[0]

    program, _ = unrounded(model, (jnp.ones(2),))
    assert operations(program) >= {"scan", "cond", "sin", "tanh", "reduce_sum"}
