"""Outputs are compared with outputs: what is missing at the end is found like anything else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places, said

from parity.explain import causes, explanation
from parity.explain.figures import differing
from parity.explain.location import location
from parity.explain.outputs import apart
from parity.explain.replay import replay

R = np.random.default_rng(0)
X, W = (jnp.asarray(R.standard_normal(s), jnp.float32) for s in ((6, 16), (16, 16)))
B, S = (jnp.asarray(R.standard_normal(16), jnp.float32) for _ in range(2))
explain = functools.partial(causes, attribution=False)


def norm(x, scale):
    wide = x - x.mean(-1, keepdims=True)
    return wide * jax.lax.rsqrt((wide * wide).mean(-1, keepdims=True) + 1e-6) * scale


def projected(x, w):
    return jnp.tanh(x) @ w


def biased(x, w, b, s):
    return projected(x, w) + b


def scaled(x, w, b, s):
    return projected(x, w) * 0.125


def normed(x, w, b, s):
    return norm(projected(x, w), s)


def residual(x, w, b, s):
    return projected(x, w) + x


@pytest.mark.parametrize(
    ("reference", "missing", "at"),
    [
        (biased, "add", line_of(biased, "+ b")),
        (scaled, "mul", line_of(scaled, "0.125")),
        (residual, "add", line_of(residual, "+ x")),
        (normed, "reduce_sum, div, sub, …", line_of(norm, "mean(-1")),
    ],
)
def test_what_is_missing_at_the_end_is_named(reference, missing: str, at: int) -> None:
    explained = explain(lambda x, w, b, s: projected(x, w), reference, X, W, B, S)
    assert not explained.agrees
    assert places(explained, __file__) == [line_of(projected, "@ w")]
    words = "our output is an inner value of the reference; after it the reference has"
    place = str(location(__file__, at, "", None))
    assert f"confidence high: {words} {missing} at {place}" in said(explained)


def test_where_several_operations_are_missing_the_last_is_named_too() -> None:
    explained = explain(lambda x, w, b, s: projected(x, w), normed, X, W, B, S)
    first, last = line_of(norm, "mean(-1"), line_of(norm, "rsqrt")
    start, end = (location(__file__, line, "", None) for line in (first, last))
    assert f"… at {start} to {end}" in said(explained)


def test_an_input_returned_is_named_at_the_return() -> None:
    def ours(x, w, b, s):
        h = projected(x, w)
        del h
        return x

    explained = explain(ours, residual, X, W, B, S)
    assert places(explained, __file__) == [line_of(ours, "return x")]
    assert "> return x return of [6, 16]: 96 of 96 differ" in said(explained)
    assert "our output is the argument [0]; after it the reference has tanh," in said(explained)


def test_where_a_function_returns_at_several_lines_its_head_is_named() -> None:
    def ours(x, w, b, s):
        if w.shape[0] > 1000:
            return residual(x, w, b, s)
        return x

    explained = explain(ours, residual, X, W, B, S)
    assert places(explained, __file__) == [line_of(ours, "def ours")]


def two(x, w):
    return {"a": jnp.tanh(x), "b": x @ w, "c": (x @ w) * 2.5}


def test_two_outputs_exchanged_are_said_to_be() -> None:
    def ours(x, w):
        a, b = jnp.tanh(x), x @ w
        return {"a": b, "b": a, "c": b * 2.5}

    explained = explain(ours, two, X, W)
    assert places(explained, __file__) == [line_of(ours, "return")]
    assert "our outputs ['a'] and ['b'] are the reference's, exchanged" in said(explained)
    assert [place.line for place in explained.causes[0].findings[0].alternatives] == [
        line_of(ours, "x @ w")
    ]


def test_one_output_in_anothers_place_is_said_to_be() -> None:
    def ours(x, w):
        b = x @ w
        return {"a": b, "b": b, "c": b * 2.5}

    explained = explain(ours, two, X, W)
    assert places(explained, __file__) == [line_of(ours, "return")]
    assert "our output ['a'] is the reference's output ['b']" in said(explained)


def test_an_output_without_its_last_step_is_named_although_another_output_is_that_value() -> None:
    def ours(x, w):
        b = x @ w
        return {"a": jnp.tanh(x), "b": b, "c": b}

    explained = explain(ours, two, X, W)
    (cause,) = explained.causes
    assert cause.where.line == line_of(ours, "x @ w")
    assert "our output ['c'] is the reference's output ['b']; after it the" in said(explained)


def test_small_integers_are_compared_as_outputs_too() -> None:
    """They are found in many places by chance, so that being known says nothing."""

    def ours(x):
        return jnp.argmax(x, -1), jnp.argmin(jnp.abs(x), -1)

    def reference(x):
        return jnp.argmin(jnp.abs(x), -1), jnp.argmax(x, -1)

    explained = explain(lambda x: ours(x)[0], lambda x: (reference(x)[0], reference(x)[1])[0], X)
    assert not explained.agrees
    assert explained.causes


def test_a_scalar_loss_without_its_last_factor_is_named() -> None:
    def ours(x):
        return jnp.square(x).sum()

    def reference(x):
        return jnp.square(x).sum() / 96

    explained = explain(ours, reference, X)
    assert places(explained, __file__) == [line_of(ours, "sum()")]
    assert "our output is not" in said(explained)


def test_a_transposed_output_is_not_taken_for_an_inner_value() -> None:
    """The reference has the elements in both places, and returns them in the other."""
    explained = explain(lambda w: jnp.tanh(w), lambda w: jnp.tanh(w).T, W)
    assert not explained.agrees
    assert "after it the reference has transpose" in said(explained)


def test_what_is_missing_after_another_fault_is_found_with_it() -> None:
    def ours(x, w, b):
        h = jnp.tanh(x * 3.0)
        return h @ w

    def reference(x, w, b):
        h = jnp.tanh(x * 2.0)
        return h @ w + b

    explained = explain(ours, reference, X, W, B)
    assert places(explained, __file__) == [line_of(ours, "3.0"), line_of(ours, "h @ w")]


def test_the_outputs_of_equal_functions_agree() -> None:
    explained = explain(biased, biased, X, W, B, S)
    assert explained.agrees
    assert explained.causes == explained.notes == []


def test_a_departure_that_no_output_shows_is_said_to_be_one() -> None:
    def ours(x):
        return jnp.argmax(x * 2.0, axis=-1)

    def reference(x):
        return jnp.argmax(x * 3.0, axis=-1)

    explained = explain(ours, reference, X)
    assert explained.agrees
    assert places(explained, __file__) == [line_of(ours, "2.0")]
    assert "the outputs agree all the same, bit for bit" in said(explained)


def test_another_dtype_of_the_same_values_is_a_difference() -> None:
    explained = explain(lambda x: x * 2, lambda x: (x * 2).astype(jnp.bfloat16), X > 0)
    assert not explained.agrees
    assert "our output is int32[6, 16], the reference's bfloat16[6, 16]" in said(explained)
    assert said(explained).startswith("ours departs from the reference, and no statement")


def test_another_sign_of_zero_is_a_difference() -> None:
    explained = explain(lambda x: x * 0.0, lambda x: x * 0.0 + 0.0, X)
    assert not explained.agrees
    assert "in the sign of zero or the bits of NaN; the place was not found" in said(explained)


def test_what_differs_only_where_it_is_compiled_is_said_to() -> None:
    """A product and a sum are fused and rounded once, unless something stands between them."""

    def ours(x):
        return jnp.sort(x) * 1.01 + 0.3

    def reference(x):
        return jnp.sort(x * 1.01) + 0.3

    explained = causes(ours, reference, X)
    assert explained.causes == []
    assert not explained.agrees
    assert "each operation alone agrees; compiled as a whole, the output has" in said(explained)
    assert "EXPLAINED(fusion)" in said(explained)


def test_outputs_apart_are_told_by_name() -> None:
    own = replay(lambda x: {"a": x + 1, "b": x * 2}, [X], "ours")
    theirs = replay(lambda x: {"a": x + 1, "b": x * 3}, [X], "the reference")
    assert list(apart(own, theirs)) == ["['b']"]
    assert apart(own, own) == {}
    assert differing(own.outputs["['b']"].array, theirs.outputs["['b']"].array).count == 96


def test_an_output_that_nothing_explains_has_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "in_float64", lambda *_: (None, []))
    monkeypatch.setattr(explanation, "find", lambda *_: [])
    explained = explain(biased, scaled, X, W, B, S)
    assert explained.causes == []
    assert not explained.agrees
    text = said(explained)
    assert text.startswith("ours departs from the reference, and no statement was found")
    assert "our output is not the reference's: 96 of 96 differ, by up to" in text
    assert "the place was not found" in text


def test_an_output_after_an_uncertain_repair_is_no_cause_of_its_own() -> None:
    """What is put in the place of another formula makes the output look unfinished."""

    def reference(x, old):
        mean = x.mean(0)
        var = jnp.square(x - mean).mean(0)
        return (x - mean) / jnp.sqrt(var + 1e-5), 0.9 * old + 0.1 * var

    def ours(x, old):
        mean = x.mean(0, keepdims=True)
        var = jnp.maximum(0, (x * x).mean(0, keepdims=True) - mean**2)
        return (x - mean) * jax.lax.rsqrt(var + 1e-5), old * 0.9 + var[0] * (1 - 0.9)

    r = np.random.default_rng(1)
    x = jnp.asarray(r.standard_normal((12, 16)), jnp.float32)
    explained = explain(ours, reference, x, jnp.asarray(r.standard_normal(16) ** 2, jnp.float32))
    assert [f for cause in explained.causes for f in cause.findings if f.outputs] == []
