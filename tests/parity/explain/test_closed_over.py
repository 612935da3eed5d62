"""Weights that a function closes over are values like its arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places, said
from flax import nnx

from parity.explain import causes
from parity.explain.replay import replay
from parity.explain.repro import write_repro

R = np.random.default_rng(0)
X, W, V = (jnp.asarray(R.standard_normal(s), jnp.float32) for s in ((6, 16), (16, 16), (16, 16)))
explain = functools.partial(causes, attribution=False)


def mlp(x, w, v):
    return jnp.tanh(x @ w) @ v


def closed(w, v, fn=mlp):
    """A function of the input alone."""
    return lambda x, *_: fn(x, w, v)


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (closed(W, V), closed(W, V)),
        (closed(W, V), mlp),
        (mlp, closed(W, V)),
        (closed(np.asarray(W), V), mlp),
    ],
    ids=["both", "ours", "the reference", "NumPy"],
)
def test_weights_are_known_whoever_closes_over_them(ours, reference) -> None:
    inputs = (X, W, V) if mlp in (ours, reference) else (X,)
    explained = explain(ours, reference, *inputs)
    assert explained.agrees
    assert explained.causes == []


def transposed(x, w, v):
    return jnp.tanh(jnp.einsum("bi,oi->bo", x, w)) @ v.T


@pytest.mark.parametrize("reference", [mlp, closed(W, V)], ids=["argument", "closed over"])
def test_weights_held_in_another_layout_are_known(reference) -> None:
    held = jnp.asarray(np.asarray(W).T.copy()), jnp.asarray(np.asarray(V).T.copy())
    explained = explain(closed(*held, fn=transposed), reference, X, W, V)
    assert explained.causes == []


@pytest.mark.parametrize("reference", [mlp, closed(W, V)], ids=["argument", "closed over"])
def test_other_weights_are_named_at_their_first_use(reference) -> None:
    inputs = (X, W, V) if reference is mlp else (X,)
    explained = explain(closed(W * 1.5, V), reference, *inputs)
    assert places(explained, __file__) == [line_of(mlp, "x @ w")]
    text = said(explained)
    assert "our closed-over float32[16, 16] is none of the reference's values" in text
    which = "argument [1]" if reference is mlp else "reference's closed-over float32[16, 16]"
    assert f"with the {which} in its place, what follows agrees" in text
    assert "its closed-over float32[16, 16]: 256 of 256 differ, by up to" in text


def test_other_weights_of_which_nothing_proves_the_right_ones_are_named_too() -> None:
    explained = explain(closed(W * 1.5, V * 1.5), closed(W, V), X)
    assert line_of(mlp, "x @ w") in places(explained, __file__)
    assert "our closed-over float32[16, 16] is none of the reference's values" in said(explained)


def test_weights_that_want_a_transpose_are_said_to_be_in_other_places() -> None:
    turned = jnp.asarray(np.asarray(W).T.copy())
    explained = explain(closed(turned, V), mlp, X, W, V)
    assert places(explained, __file__) == [line_of(mlp, "x @ w")]
    words = "our closed-over float32[16, 16] holds the reference's elements in other places"
    assert f"confidence high: {words}" in said(explained)


def rotated(x, table):
    once = x * table
    return (once + 1) * table


def test_a_table_used_twice_is_one_cause() -> None:
    table = np.sin(np.arange(16.0, dtype=np.float32))
    explained = explain(
        lambda x: rotated(x, table * np.float32(1.01)), lambda x: rotated(x, table), X
    )
    assert len(explained.causes) == 1
    assert explained.causes[0].where.line == line_of(rotated, "x * table")


def test_a_fault_beside_right_weights_is_still_found() -> None:
    def ours(x, w, v):
        return jnp.tanh(x @ w * 0.5) @ v

    explained = explain(closed(W, V, fn=ours), closed(W, V), X)
    assert places(explained, __file__) == [line_of(ours, "0.5")]


def test_a_mask_in_another_form_is_no_cause() -> None:
    """A few different values are found in many places by chance, so nothing is asked of them."""
    mask = np.tril(np.ones((16, 16), bool))

    def ours(w):
        return jnp.where(mask, w, 0.0) * 3.0

    def reference(w):
        return jnp.where(jnp.arange(16)[:, None] < jnp.arange(16), 0.0, w) * 3.0

    explained = explain(ours, reference, W)
    assert explained.agrees
    assert explained.causes == []


def test_what_a_program_holds_is_one_value_however_often_it_is_used() -> None:
    inner = jax.jit(lambda x: x @ W)
    graph = replay(lambda x: inner(inner(x)) @ W, [X], "ours")
    assert [value.name for value in graph.closed] == ["closed-over float32[16, 16]"]
    assert graph.values()[:2] == [*graph.inputs, *graph.closed]


def test_numbers_written_in_the_program_are_not_held() -> None:
    graph = replay(lambda x: x[:, :3] * np.float32([1, 2, 3]) + 0.5, [X], "ours")
    assert graph.closed == []


class Mlp(nnx.Module):
    def __init__(self, factor: float):
        self.linear = nnx.Linear(16, 16, rngs=nnx.Rngs(0))
        self.factor = factor

    def __call__(self, x):
        return jnp.tanh(self.linear(x) * self.factor)


def test_flax_nnx_modules_are_called_as_they_are() -> None:
    explained = explain(Mlp(0.3), Mlp(0.5), X)
    assert places(explained, __file__) == [line_of(Mlp, "* self.factor")]
    assert explain(Mlp(0.3), Mlp(0.3), X).agrees


def test_a_script_of_closed_over_weights_holds_them(tmp_path) -> None:
    def ours(x, w, v):
        return jnp.tanh(x @ w + 0.5) @ v

    explained = explain(closed(W, V, fn=ours), closed(W, V), X)
    text = write_repro(explained, tmp_path / "repro.py").read_text()
    assert "input_0" in text


def test_a_table_that_the_reference_holds_is_known_where_ours_computes_it() -> None:
    table = np.arange(16, dtype=np.float32) * 3 + 1

    def ours(x):
        return jnp.tanh(x * (jnp.arange(16.0) * 3 + 1) * 3.0)

    explained = explain(ours, lambda x: jnp.tanh(x * table * 2.0), X)
    (cause,) = explained.causes
    assert cause.findings[0].change == "3 where the reference has 2"
