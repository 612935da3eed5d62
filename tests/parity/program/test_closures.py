"""Arrays closed over are arguments: of the same program, whatever dtype it is evaluated in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.program.closures import opened
from parity.program.loops import hoisted
from parity.program.oracle import Oracle
from parity.program.stages import Stage
from parity.trace.frames import MemorySink, Trace
from parity.trace.recorder import compile_recording, run_untapped

RNG = np.random.default_rng(0)
WEIGHT = jnp.asarray(RNG.standard_normal((64, 64)) / 8, jnp.float32)
BIAS = jnp.asarray(RNG.standard_normal(64), jnp.float32)
X = jnp.asarray(RNG.standard_normal((4, 64)), jnp.float32)


def layer(x, weight, *, tap):
    h = tap("h", jnp.tanh(x @ weight + BIAS))
    return h @ (1.5 * weight + 0.1).T


def constants(program) -> list[tuple[int, ...]]:
    """Shapes of all constants, of inner programs too."""
    found = [np.shape(const) for const in program.consts]
    for eqn in program.jaxpr.eqns:
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                found += constants(inner) if isinstance(inner, type(program)) else []
    return found


def large_constants(fn, *args) -> list[tuple[int, ...]]:
    program = jax.make_jaxpr(lambda *args: fn(*args, tap=lambda _, value: value))(*args)
    return [shape for shape in constants(program) if np.prod(shape) >= 1000]


@pytest.mark.parametrize("weight", [WEIGHT, np.asarray(WEIGHT)], ids=["jax", "numpy"])
def test_a_large_array_is_an_argument_and_a_small_one_is_not(weight) -> None:
    fn, (arrays, *args) = opened(lambda x, *, tap: tap("h", x @ weight + BIAS), X)
    assert [array.shape for array in arrays] == [(64, 64)]
    assert large_constants(fn, arrays, *args) == []


def test_it_computes_what_it_computes_on_an_argument() -> None:
    fn, args = opened(lambda x, *, tap: layer(x, WEIGHT, tap=tap), X)
    output = run_untapped(fn, *args)
    np.testing.assert_array_equal(output, run_untapped(layer, X, WEIGHT))


def test_another_array_can_be_given() -> None:
    fn, (_, x) = opened(lambda x, *, tap: layer(x, WEIGHT, tap=tap), X)
    output = run_untapped(fn, (2 * WEIGHT,), x)
    np.testing.assert_array_equal(output, run_untapped(layer, X, 2 * WEIGHT))


def test_an_array_used_twice_is_one_argument() -> None:
    """By two functions, each of which makes it a constant of its own."""
    weight = np.asarray(WEIGHT)
    first, second = (jax.jit(lambda x, f=f: f(x @ weight)) for f in (jnp.tanh, jnp.sin))
    _, (arrays, _) = opened(lambda x, *, tap: second(first(x)), X)
    assert len(arrays) == 1


def test_a_function_that_closes_over_nothing_large_is_itself() -> None:
    assert opened(layer, X, WEIGHT) == (layer, (X, WEIGHT))


@jax.jit
def helper(x):
    return jnp.tanh(x @ WEIGHT)


def deep(x, *, tap):
    """The array is a constant of programs inside of loops, branches and calls."""
    x, _ = jax.lax.scan(lambda c, _: (tap("l.h", helper(c)), None), x, length=2)
    x = jax.lax.fori_loop(0, jnp.int32(x[0, 0] > -9) + 1, lambda _, x: helper(x), x)
    x = jax.lax.cond(x[0, 0] > 0, helper, lambda x: x @ WEIGHT, x)
    return jax.checkpoint(helper)(x)


def test_arrays_are_found_in_loops_branches_and_calls() -> None:
    fn, args = opened(deep, X)
    assert len(args[0]) == 1
    assert large_constants(fn, *args) == []
    sink = MemorySink()
    recording = compile_recording(hoisted(fn), *args)
    output = recording.run(*args, sink=sink)
    assert [spec.name for spec in recording.specs] == ["l[0].h", "l[1].h"]
    np.testing.assert_allclose(output, run_untapped(deep, X), rtol=1e-5, atol=1e-6)


def free(fn, *args) -> Trace:
    return Oracle([Stage("", "whole", hoisted(fn), args)], "float64").free()


def test_the_oracle_widens_the_arrays_and_what_is_made_of_them() -> None:
    x, weight = X.astype("bfloat16"), WEIGHT.astype("bfloat16")

    def fn(x, *, tap):
        h = tap("h", jnp.tanh(x @ weight))
        return tap("out", h @ h.T + jnp.asarray(0.1, h.dtype))

    fn, args = opened(fn, x)
    trace = free(fn, *args)
    h = np.tanh(np.asarray(x, np.float64) @ np.asarray(weight, np.float64))
    np.testing.assert_allclose(trace["h"], h, rtol=1e-13)
    # Its inputs are float32 while it is traced, so that a tenth is not one of bfloat16.
    np.testing.assert_allclose(trace["out"], h @ h.T + np.float32(0.1), rtol=1e-13)


def test_a_function_that_refuses_two_dtypes_is_evaluated_as_it_was_traced() -> None:
    kernel = WEIGHT.astype("bfloat16").reshape(8, 8, 8, 8)

    def convolved(x, *, tap):
        return tap("out", jax.lax.conv(x, kernel, (1, 1), "SAME"))

    x = jnp.asarray(RNG.standard_normal((1, 8, 8, 8)), jnp.bfloat16)
    fn, args = opened(convolved, x)
    with jax.enable_x64(True):
        wide = (jnp.asarray(a).astype("float64") for a in (x, kernel))
        expected = jax.lax.conv(*wide, (1, 1), "SAME")
    np.testing.assert_allclose(free(fn, *args)["out"], expected, rtol=1e-12, atol=1e-12)


def test_a_function_that_makes_its_array_anew_is_traced_in_another_dtype() -> None:
    weight = np.asarray(WEIGHT, np.float64)

    def fn(x, *, tap):
        return tap("out", x @ weight.astype(np.float32))

    fn, args = opened(fn, X.astype("bfloat16"))
    floats = (args[0], args[1].astype("float32"))
    assert large_constants(fn, *floats) == []


def test_an_array_of_another_shape_is_refused() -> None:
    fn, (arrays, _) = opened(lambda x, *, tap: layer(x, WEIGHT, tap=tap), X)
    assert run_untapped(fn, arrays, X[:2]).shape == (2, 64)
    with pytest.raises(RequestError, match=r"shape \(64, 32\) is given in place of .* \(64, 64\)"):
        run_untapped(fn, (WEIGHT[:, :32],), X)
