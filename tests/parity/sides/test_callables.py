"""Any callable can be recorded: its taps, if it has any, and whatever it returns."""

import functools
import re

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from parity.errors import RequestError
from parity.program.loops import hoisted
from parity.program.oracle import Oracle
from parity.program.stages import Stage
from parity.sides.callables import call_of, takes_tap, tappable
from parity.sides.recording import record_trace
from parity.trace.frames import Trace

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 8)), jnp.float32)


def shapes(trace: Trace) -> dict[str, tuple[int, ...]]:
    return {spec.name: spec.shape for spec in trace.specs}


def plain(x):
    return jnp.tanh(x)


def tapped(x, *, tap):
    return 2 * tap("tanh", jnp.tanh(x))


class Scaled:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x, tap=None):
        return self.factor * tap("in", x)

    def method(self, x):
        return self.factor * x


# Functions


@pytest.mark.parametrize(
    ("fn", "taps", "label"),
    [
        (plain, [], "plain"),
        (tapped, ["tanh"], "tapped"),
        (lambda x, **options: x + len(options), [], "<lambda>"),
        (functools.partial(tapped), ["tanh"], "tapped"),
        (functools.partial(jnp.multiply, 2.0), [], "multiply"),
        (jax.jit(plain), [], "plain"),
        (jax.jit(tapped, static_argnames="tap"), ["tanh"], "tapped"),
        (Scaled(3.0), ["in"], "Scaled"),
        (Scaled(3.0).method, [], "Scaled.method"),
    ],
    ids=["plain", "tapped", "**", "partial", "partial plain", "jit", "jit tap", "object", "method"],
)
def test_a_callables_taps_and_its_output_are_frames(fn, taps: list[str], label: str) -> None:
    trace = record_trace(fn, X)
    assert shapes(trace) == dict.fromkeys([*taps, "output"], X.shape)
    assert trace.manifest.source == label
    if not taps:
        np.testing.assert_array_equal(trace["output"], jax.jit(fn)(X))


def test_outputs_are_named_by_their_paths() -> None:
    def fn(x):
        return {"a": x, "b": [x[0], (x[0, 0], None)]}

    assert shapes(record_trace(fn, X)) == {
        "output.a": (4, 8),
        "output.b.0": (8,),
        "output.b.1.0": (),
    }


def test_an_output_is_named_otherwise_where_a_tap_has_its_name() -> None:
    def single(x, *, tap):
        return tap("output", x) + 1

    def several(x, *, tap):
        return {"a": tap("output.a", x) + 1, "b": x}

    assert list(shapes(record_trace(single, X))) == ["output", "returned"]
    assert list(shapes(record_trace(several, X))) == ["output.a", "returned.a", "returned.b"]


def test_numbers_are_returned_as_arrays() -> None:
    trace = record_trace(lambda x: {"loss": 0.5, "steps": 3, "mean": x.mean()}, X)
    assert {spec.name: spec.dtype for spec in trace.specs} == {
        "output.loss": "float32",
        "output.mean": "float32",
        "output.steps": "int32",
    }


def test_random_keys_are_shown_by_their_numbers() -> None:
    key = jax.random.key(0)
    trace = record_trace(lambda key: jax.random.split(key), key)
    np.testing.assert_array_equal(trace["output"], jax.random.key_data(jax.random.split(key)))


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: {"a": "text"}, "<lambda> returns a str at a; return arrays and numbers"),
        (lambda x: plain, "<lambda> returns a function; return arrays and numbers"),
    ],
    ids=["str", "function"],
)
def test_what_is_no_array_is_refused_by_its_path(fn, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        record_trace(fn, X)
    assert str(raised.value) == message


def test_an_argument_that_is_no_array_is_refused_by_its_path() -> None:
    with pytest.raises(RequestError, match=r"^argument 1\['mode'\] of plain is a str; arguments"):
        record_trace(plain, X, {"mode": "train"})


def wrong(x):
    return plain(x) @ x


@pytest.mark.parametrize(
    ("fn", "args", "message"),
    [
        (
            wrong,
            (X,),
            r"^wrong can't be run: TypeError: dot_general requires .*"
            r" \(test_callables\.py:\d+: return plain\(x\) @ x\)$",
        ),
        (plain, (), r"^plain can't be run: TypeError: plain\(\) missing 1 .* argument: 'x'$"),
        (np.asarray, (X,), r"^asarray can't be run: TracerArrayConversionError: "),
    ],
    ids=["wrong", "missing", "numpy"],
)
def test_a_function_that_raises_is_one_line_with_the_users_own(fn, args, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        record_trace(fn, *args)
    assert re.search(message, str(raised.value))


def test_a_request_of_this_package_passes_as_it_is() -> None:
    def fn(x, *, tap):
        return tap("pair", (x, x))

    with pytest.raises(RequestError, match=r"^tap 'pair' takes one array, got tuple"):
        record_trace(fn, X)


@pytest.mark.parametrize("fn", [dict, print, np.add])
def test_a_callable_without_a_signature_takes_no_tap(fn) -> None:
    assert not takes_tap(fn)


# Weights


def test_weights_bound_by_partial_are_arguments() -> None:
    weights = {"w": jnp.ones((8, 3)), "name": "dense"}

    def fn(params, x, *, tap):
        return tap("h", x @ params["w"])

    call = call_of(functools.partial(fn, weights), X)
    assert [array.shape for array in jax.tree.leaves(call.args)] == [(8, 3), (4, 8)]
    assert (call.fn((2 * weights["w"],), X, tap=lambda _, v: v) == 2 * (X @ weights["w"])).all()


def test_settings_bound_by_partial_stay_what_they_are() -> None:
    """They may be read while the function is traced."""

    def fn(sizes, x):
        return x[: int(sizes[0]), : int(sizes[1])]

    call = call_of(functools.partial(fn, np.array([2, 3])), X)
    assert shapes(record_trace(functools.partial(fn, np.array([2, 3])), X)) == {"output": (2, 3)}
    assert len(jax.tree.leaves(call.args)) == 1


def test_large_arrays_closed_over_are_arguments() -> None:
    weight = jnp.ones((8, 200))
    call = call_of(lambda x: x @ weight, X)
    assert [array.shape for array in jax.tree.leaves(call.args)] == [(8, 200), (4, 8)]


# flax.linen


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, *, train: bool = False, tap=lambda _, value: value):
        x = tap("dense", nn.Dense(8)(x))
        return nn.BatchNorm(use_running_average=not train)(x)

    @nn.nowrap
    def untapped(self, x):
        return x


class Untapped(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(8)(x)

    def doubled(self, x, tap):
        return 2 * tap("once", self(x))


def test_apply_of_a_linen_module_hands_its_tap_on() -> None:
    module = Linen()
    variables = module.init(jax.random.key(0), X)
    trace = record_trace(module.apply, variables, X)
    assert shapes(trace) == {"dense": (4, 8), "output": (4, 8)}
    assert trace.manifest.source == "Linen.apply"
    np.testing.assert_array_equal(trace["output"], jax.jit(module.apply)(variables, X))


def test_collections_that_apply_returns_are_frames() -> None:
    module = Linen()
    variables = module.init(jax.random.key(0), X)
    fn = functools.partial(module.apply, train=True, mutable=["batch_stats"])
    assert shapes(record_trace(fn, variables, X)) == {
        "dense": (4, 8),
        "output.0": (4, 8),
        "output.1.batch_stats.BatchNorm_0.mean": (8,),
        "output.1.batch_stats.BatchNorm_0.var": (8,),
    }


def test_of_a_linen_module_the_method_that_is_applied_counts() -> None:
    module = Untapped()
    variables = module.init(jax.random.key(0), X)
    assert list(shapes(record_trace(module.apply, variables, X))) == ["output"]
    for method in ("doubled", Untapped.doubled):
        fn = functools.partial(module.apply, method=method)
        assert list(shapes(record_trace(fn, variables, X))) == ["once", "output"]


# flax.nnx


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(8, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, *, tap=lambda _, value: value):
        return self.dropout(self.norm(tap("dense", self.dense(x))))

    def encoded(self, x):
        return self.dense(x)


def state_of(module) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(module, nnx.BatchStat))]


def test_an_nnx_module_is_left_as_it_was() -> None:
    module = Nnx(nnx.Rngs(0))
    before, count = state_of(module), int(module.dropout.rngs.count[...])
    first, second = record_trace(module, X), record_trace(module, X)
    assert shapes(first) == {"dense": (4, 8), "output": (4, 8)}
    np.testing.assert_array_equal(first["output"], second["output"])
    assert int(module.dropout.rngs.count[...]) == count
    for was, now in zip(before, state_of(module), strict=True):
        np.testing.assert_array_equal(was, now)
    module(X)
    assert int(module.dropout.rngs.count[...]) == count + 1


def test_weights_of_an_nnx_module_are_arguments() -> None:
    module = Nnx(nnx.Rngs(0))
    call = call_of(module, X)
    assert {array.shape for array in jax.tree.leaves(call.args[0])} == {(8, 8), (8,)}


def test_a_method_of_an_nnx_module() -> None:
    module = Nnx(nnx.Rngs(0))
    trace = record_trace(module.encoded, X)
    np.testing.assert_array_equal(trace["output"], jax.jit(lambda x: module.dense(x))(X))


class Counter(nnx.Module):
    def __init__(self, count: nnx.Variable) -> None:
        self.count = count

    def __call__(self, x):
        self.count[...] += 1
        return x * self.count[...]


class Pair(nnx.Module):
    """Two modules of one state."""

    def __init__(self) -> None:
        count = nnx.BatchStat(jnp.zeros(()))
        self.first, self.second = Counter(count), Counter(count)

    def __call__(self, x):
        return self.second(self.first(x))


def test_what_an_nnx_module_shares_stays_shared() -> None:
    np.testing.assert_array_equal(record_trace(Pair(), X)["output"], 2 * X)


def test_an_nnx_module_can_be_an_argument() -> None:
    module = Nnx(nnx.Rngs(0))
    trace = record_trace(lambda module, x: module.encoded(x), module, X)
    np.testing.assert_array_equal(trace["output"], record_trace(module.encoded, X)["output"])


def test_the_oracle_widens_an_nnx_module() -> None:
    module = Nnx(nnx.Rngs(0))
    call = call_of(module, X)
    trace = Oracle([Stage("", "whole", hoisted(call.fn), call.args)], "float64").free()
    kernel, bias = (
        np.asarray(p[...], np.float64) for p in (module.dense.kernel, module.dense.bias)
    )
    np.testing.assert_allclose(trace["dense"], np.asarray(X, np.float64) @ kernel + bias)


# equinox


class Equinox(eqx.Module):
    first: eqx.nn.Linear
    activation: object

    def __init__(self, key) -> None:
        self.first = eqx.nn.Linear(8, 8, key=key)
        self.activation = jax.nn.gelu

    def __call__(self, x, *, tap):
        return self.activation(jax.vmap(lambda row: tap("first", self.first(row)))(x))


def test_an_equinox_module() -> None:
    module = Equinox(jax.random.key(0))
    trace = record_trace(module, X)
    assert shapes(trace) == {"first": (4, 8), "output": (4, 8)}
    call = call_of(module, X)
    assert [array.shape for array in call.args[0]] == [(8, 8), (8,)]
    np.testing.assert_array_equal(
        trace["output"], eqx.filter_jit(module)(X, tap=lambda _, value: value)
    )


def test_a_module_of_equinoxs_own() -> None:
    module = eqx.nn.MLP(8, 3, 16, 2, key=jax.random.key(0))
    assert shapes(record_trace(module, X[0])) == {"output": (3,)}


# Composition


def test_taps_in_loops_of_a_module_are_frames() -> None:
    weights = jnp.ones((3, 8, 8)) / 8

    class Stack(eqx.Module):
        weights: jax.Array

        def __call__(self, x, *, tap):
            def layer(x, w):
                return tap("layers.out", jnp.tanh(x @ w)), None

            return jax.lax.scan(layer, x, self.weights)[0]

    trace = record_trace(Stack(weights), X)
    assert list(shapes(trace)) == [*(f"layers[{i}].out" for i in range(3)), "output"]


def test_an_oracle_of_a_function_that_refuses_two_dtypes() -> None:
    """It meets a small array that it holds in its own dtype, whatever its arguments are."""
    kernel = jnp.ones((1, 1, 3, 3), jnp.bfloat16) / 9
    images = jnp.ones((1, 1, 8, 8), jnp.bfloat16)
    call = call_of(lambda x: jax.lax.conv(x, kernel, (1, 1), "VALID"), images)
    trace = Oracle([Stage("", "whole", hoisted(call.fn), call.args)], "float64").free()
    expected = np.full((1, 1, 6, 6), 9 * float(kernel[0, 0, 0, 0]))
    np.testing.assert_allclose(trace["output"], expected, rtol=1e-13)


def test_a_while_loop_is_recorded_without_asking_for_its_route() -> None:
    def fn(x, *, tap):
        return jax.lax.while_loop(lambda x: x.sum() < 10, lambda x: tap("x", x + 1), x)

    assert list(shapes(record_trace(fn, jnp.zeros(5)))) == ["x[0]", "x[1]", "output"]


def test_a_tappable_function_returns_what_the_function_does() -> None:
    output = tappable(lambda x: {"a": x, "n": 3, "none": None})(X, tap=lambda _, value: value)
    assert output["a"] is X
    assert output["n"] == 3
    assert output["none"] is None
