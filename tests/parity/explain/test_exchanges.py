"""A wrong variable: what a statement reads, itself and in the helpers that it calls."""

import jax
import jax.numpy as jnp
import numpy as np
from explanations_for_tests import line_of, places, said

from parity.explain import causes

R = np.random.default_rng(1)
X = jnp.asarray(R.standard_normal((3, 4, 8)), jnp.float32)
P = {k: jnp.asarray(R.standard_normal((2, 8, 8)) / 8**0.5, jnp.float32) for k in ("a", "m")}


def reference(p, x):
    for a, m in zip(p["a"], p["m"], strict=True):
        h = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = x + jnp.tanh(h @ a.T)
        h = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = x + jax.nn.silu(h @ m.T)
    return x


def norm(t):
    first = jnp.einsum("bti->bt", t)[..., None] / 8
    second = jnp.einsum("bti,bti->bt", t, t)[..., None] / 8
    return (t - first) * jax.lax.rsqrt(second - first * first + 1e-5)


def layer(x, w):
    middle = jnp.tanh(jnp.einsum("bti,oi->bto", norm(x), w["a"])) + x
    inner = jnp.einsum("bti,oi->bto", norm(x), w["m"])
    return middle + inner * jax.nn.sigmoid(inner), None


def test_a_wrong_argument_of_a_helper_is_named_where_it_is_passed() -> None:
    """In each turn of a scan, and at all operations of the helper at once."""
    explained = causes(lambda p, x: jax.lax.scan(layer, x, p)[0], reference, P, X)
    assert places(explained, __file__) == [line_of(layer, "inner =")]
    assert "for" in said(explained)
    assert explained.causes[0].findings[0].confidence == "high"
