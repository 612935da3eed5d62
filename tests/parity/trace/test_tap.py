"""A tap that stays in the program: the identity, and there after every transformation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.trace.tap import frame_name, mark, marks

X = jnp.asarray(np.random.default_rng(0).standard_normal((3, 5, 7)), jnp.float32)


def tapped_avals(fn, *args) -> dict[str, tuple[int, ...]]:
    """Shapes by name of the taps in a function's own program, not in those inside it."""
    program = jax.make_jaxpr(fn)(*args)
    return {
        eqn.params["name"]: eqn.outvars[0].aval.shape
        for eqn in program.jaxpr.eqns
        if eqn.primitive.name == "parity_tap"
    }


@pytest.mark.parametrize("run", [lambda f: f, jax.jit, jax.vmap, jax.checkpoint])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_a_tap_is_the_identity(run, dtype: str) -> None:
    x = (10 * X).astype(dtype)
    np.testing.assert_array_equal(run(functools.partial(mark, "x"))(x), x)


def test_a_mapped_axis_comes_first_whatever_axis_was_mapped() -> None:
    fn = jax.vmap(lambda row: mark("row", row), in_axes=2, out_axes=2)
    assert tapped_avals(fn, X) == {"row": (7, 3, 5)}
    np.testing.assert_array_equal(fn(X), X)


def test_of_nested_maps_the_outer_axis_comes_first() -> None:
    fn = jax.vmap(jax.vmap(lambda row: mark("row", row), in_axes=1), in_axes=1)
    assert tapped_avals(fn, X) == {"row": (5, 7, 3)}


def test_a_map_leaves_the_program_around_a_tap_as_it_was() -> None:
    """The axis is moved to the front and back."""

    def operations(tap) -> list[str]:
        def product(row):
            return jnp.sin(tap(row)) @ jnp.tanh(tap(row)).T

        program = jax.make_jaxpr(jax.vmap(product, in_axes=2, out_axes=2))(X)
        return [
            f"{eqn.primitive} {eqn.outvars[0].aval.shape}"
            for eqn in program.jaxpr.eqns
            if str(eqn.primitive) in ("sin", "tanh", "dot_general")
        ]

    assert operations(functools.partial(mark, "row")) == operations(lambda row: row)


def test_gradients_pass_through() -> None:
    def fn(x, tap):
        return tap("out", jnp.sum(jnp.sin(tap("in", x)) ** 2))

    plain = jax.grad(lambda x: fn(x, lambda _, value: value))(X)
    np.testing.assert_array_equal(jax.grad(lambda x: fn(x, mark))(X), plain)
    assert tapped_avals(jax.grad(lambda x: fn(x, mark)), X) == {"in": X.shape, "out": ()}


def test_taps_are_found_in_calls_and_loops() -> None:
    @functools.partial(jax.jit, static_argnames=("tap",))
    def helper(x, *, tap):
        return tap("helper", x)

    def fn(x):
        x, _ = jax.lax.scan(lambda c, row: (mark("scan", c + row), None), x[0], x)
        x = jax.lax.cond(x.sum() > 0, lambda x: mark("cond", x), lambda x: x, x)
        return helper(jax.checkpoint(functools.partial(mark, "remat"))(x), tap=mark)

    names = list(marks(jax.make_jaxpr(fn)(X).jaxpr))
    assert names == ["scan", "cond", "remat", "helper"]


def test_a_number_is_an_array() -> None:
    assert mark("half", 0.5).shape == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": X}, r"^tap 'x' takes one array, got dict; tap the arrays in it"),
        ("text", r"^tap 'x' takes one array, got str"),
        (jax.random.key(0), r"^tap 'x' takes an array of numbers, got random keys"),
    ],
    ids=["dict", "str", "key"],
)
def test_anything_else_is_refused_by_name(value, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        mark("x", value)


@pytest.mark.parametrize(
    ("name", "indices", "frame"),
    [
        ("mlp", (), "mlp"),
        ("mlp", (3,), "mlp[3]"),
        ("mlp", (2, 3), "mlp[2][3]"),
        ("layers.mlp", (3,), "layers[3].mlp"),
        ("layers.mlp.gate", (3,), "layers[3].mlp.gate"),
        ("layers.mlp", (2, 3), "layers[2].mlp[3]"),
        ("outer.inner.x", (2, 3), "outer[2].inner[3].x"),
        ("layers.{}.mlp", (3,), "layers.3.mlp"),
        ("layers.{}.heads.{}.q", (3, 1), "layers.3.heads.1.q"),
        ("layers.{}.mlp", (3, 1), "layers.3.mlp[1]"),
        ("layers.{}.mlp", (), "layers.{}.mlp"),
        ("a{0}.b", (3,), "a{0}[3].b"),
    ],
)
def test_the_name_of_a_frame(name: str, indices: tuple[int, ...], frame: str) -> None:
    assert frame_name(name, indices) == frame
