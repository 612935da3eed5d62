"""The formula pass: another style is left in peace, and a fault in another style is named."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places, said

from parity.explain import causes

R = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(R.standard_normal(shape), jnp.float32)


X = normal(3, 7, 12)
P = {name: normal(12, 12) / 12**0.5 for name in ("q", "k", "v", "o")} | {"g": 1 + 0.1 * normal(12)}
explain = functools.partial(causes, attribution=False)


def reference(p, x):
    h = x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * p["g"]
    q, k, v = (jnp.swapaxes((h @ p[n].T).reshape(3, 7, 3, 4), 1, 2) for n in "qkv")
    scores = jnp.where(jnp.tril(jnp.ones((7, 7))) > 0, q @ jnp.swapaxes(k, 2, 3) / 2.0, -1e30)
    y = jnp.swapaxes(jax.nn.softmax(scores, -1) @ v, 1, 2).reshape(3, 7, 12)
    return x + y @ p["o"].T


def norm(t, eps):
    size = jnp.einsum("bsd,bsd->bs", t, t) / t.shape[-1]
    return t * jax.lax.rsqrt(size + eps)[..., None]


def port(p, x, eps=1e-6, scale=0.5, ahead=0, gain=True, residual=True):
    h = norm(x, eps)
    h = h * p["g"] if gain else h
    q, k, v = (jnp.einsum("bsd,hed->bshe", h, p[n].reshape(3, 4, 12)) for n in "qkv")
    place = jnp.arange(7)
    hidden = place[None] > place[:, None] + ahead
    scores = jnp.einsum("bqhe,bkhe->bqkh", q * scale, k) + jnp.where(hidden, -jnp.inf, 0)[..., None]
    weights = jnp.exp(scores - jax.nn.logsumexp(scores, axis=2, keepdims=True))
    mixed = jnp.einsum("bqkh,bkhe->bqhe", weights, v)
    out = jnp.einsum("bqhe,dhe->bqd", mixed, p["o"].reshape(12, 3, 4))
    return out + x if residual else out


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_correct_port_in_another_style_is_not_accused(dtype: str) -> None:
    p, x = jax.tree.map(lambda a: a.astype(dtype), (P, X))
    explained = explain(port, reference, p, x)
    assert explained.causes == []
    assert explained.harmless
    assert said(explained).startswith("the same formula: ours departs from the reference by")
    assert "both round nearly everywhere, so no statement is to blame" in said(explained)


FAULTS = [
    ({"eps": 1e-3}, norm, "size + eps", "with 1e-06 for 0.001"),
    ({"scale": 0.25}, port, "q * scale", "with 0.5 for 0.25"),
    ({"ahead": 1}, port, "+ ahead", ""),
    ({"gain": False}, norm, "rsqrt", "after it the reference has mul"),
    ({"residual": False}, port, '"bqhe,dhe->bqd"', "after it the reference has add"),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("fault", "where", "text", "words"), FAULTS, ids=lambda f: str(f)[:12])
def test_a_fault_in_another_style_is_named(fault, where, text, words, dtype) -> None:
    p, x = jax.tree.map(lambda a: a.astype(dtype), (P, X))
    explained = explain(functools.partial(port, **fault), reference, p, x)
    assert places(explained, __file__) == [line_of(where, text)]
    assert words in said(explained)
    assert [cause.kind for cause in explained.causes] == ["formula"]
    assert not explained.harmless


def test_two_faults_are_named_in_order() -> None:
    explained = explain(functools.partial(port, eps=1e-3, scale=0.25), reference, P, X)
    assert places(explained, __file__) == [line_of(norm, "size + eps"), line_of(port, "q * scale")]


def grouped(p, x, expand, bias):
    h = norm(x, 1e-6) * p["g"]
    q = jnp.einsum("bsd,hed->bshe", h, p["q"].reshape(4, 3, 12))

    def shared(w):
        made = jnp.einsum("bsd,hed->bshe", h, w[:6].reshape(2, 3, 12))
        return expand(made + bias)

    k, v = shared(p["k"]), shared(p["v"])
    scores = jnp.einsum("bqhe,bkhe->bqkh", q, k)
    mixed = jnp.einsum("bqkh,bkhe->bqhe", jax.nn.softmax(scores, axis=2), v)
    return jnp.einsum("bqhe,dhe->bqd", mixed, p["o"].reshape(12, 4, 3))


def grouped_reference(p, x):
    h = x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * p["g"]
    b = jnp.tile(p["g"][:3], 2)
    q = jnp.swapaxes((h @ p["q"].T).reshape(3, 7, 4, 3), 1, 2).reshape(3, 2, 2, 7, 3)
    k, v = (jnp.swapaxes((h @ p[n][:6].T + b).reshape(3, 7, 2, 3), 1, 2) for n in "kv")
    weights = jax.nn.softmax(jnp.einsum("bhgqe,bhke->bhgqk", q, k), -1)
    mixed = jnp.einsum("bhgqk,bhke->bhgqe", weights, v).reshape(3, 4, 7, 3)
    return jnp.swapaxes(mixed, 1, 2).reshape(3, 7, 12) @ p["o"].T


def tiled(t):
    return jnp.tile(t, (1, 1, 2, 1))


def repeated(t):
    return jnp.repeat(t, 2, axis=2)


def test_what_a_helper_does_wrong_in_two_calls_is_one_cause() -> None:
    """What was put right for the key is no evidence that it is right for the value."""
    bias = P["g"][:3]
    right = explain(lambda p, x: grouped(p, x, repeated, p["g"][:3]), grouped_reference, P, X)
    assert right.causes == []
    heads = explain(lambda p, x: grouped(p, x, tiled, p["g"][:3]), grouped_reference, P, X)
    assert places(heads, __file__) == [line_of(tiled, "return")]
    bare = explain(lambda p, x: grouped(p, x, repeated, 0 * bias), grouped_reference, P, X)
    assert places(bare, __file__)[0] in (line_of(grouped, "made ="), line_of(grouped, "return"))
    assert len(bare.causes) == 1


def test_what_no_output_depends_on_is_no_cause() -> None:
    def ours(x):
        jnp.cumsum(x * 3.0)
        return jnp.tanh(x)

    assert explain(ours, lambda x: jnp.tanh(x), X).causes == []


def test_a_table_rounded_to_float32_is_no_cause() -> None:
    rates = (10000.0 ** (-np.arange(6) / 6)).astype(np.float32)

    def ours(x):
        return x[..., :6] * jnp.cos(jnp.arange(7)[:, None] * rates)

    def theirs(x):
        return jnp.cos(jnp.outer(jnp.arange(7), 1 / 10000.0 ** (jnp.arange(6) / 6))) * x[..., :6]

    assert explain(ours, theirs, X).causes == []


def test_what_float64_has_no_meaning_for_is_said_to_be_left_out() -> None:
    def bits(x):
        return jax.lax.bitcast_convert_type(x, jnp.int32)

    explained = explain(bits, bits, X)
    assert explained.same_formula is None
    assert "the formulas were not held apart from rounding" in said(explained)
