"""A wrong variable that was given its value by a statement without an operation."""

import jax
import jax.numpy as jnp
import numpy as np
from explanations_for_tests import line_of, places

from parity.explain import causes

R = np.random.default_rng(2)
X = jnp.asarray(R.standard_normal((3, 5, 12)), jnp.float32)
P = {k: jnp.asarray(R.standard_normal((12, 12)) / 12**0.5, jnp.float32) for k in "am"}


def reference(p, x):
    for w in p["a"], p["m"]:
        h = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = x + jnp.tanh(h @ w.T)
    return x


def norm(t):
    first = jnp.einsum("bti->bt", t)[..., None] / 12
    return (t - first) * jax.lax.rsqrt(
        jnp.einsum("bti->bt", (t - first) ** 2)[..., None] / 12 + 1e-5
    )


def after_the_norm(p, x):
    x = x + jnp.tanh(jnp.einsum("bti,oi->bto", norm(x), p["a"]))
    x = norm(x)
    residual = x
    out = jnp.tanh(jnp.einsum("bti,oi->bto", x, p["m"]))
    return out + residual


def parallel(p, x, apart=False):
    middle = jnp.tanh(jnp.einsum("bti,oi->bto", norm(x), p["a"])) + x
    source = middle if apart else x
    return middle + jnp.tanh(jnp.einsum("bti,oi->bto", norm(source), p["m"]))


def at_once(p, x):
    middle = jnp.tanh(jnp.einsum("bti,oi->bto", norm(x), p["a"])) + x
    return middle + jnp.tanh(jnp.einsum("bti,oi->bto", norm(x), p["m"]))


def test_a_residual_taken_too_late_is_named_where_it_is_taken() -> None:
    assert places(causes(after_the_norm, reference, P, X), __file__) == [
        line_of(after_the_norm, "residual = x")
    ]


def test_a_choice_is_named_where_it_is_made() -> None:
    assert places(causes(parallel, reference, P, X), __file__) == [line_of(parallel, "source =")]


def test_without_another_name_the_reading_statement_is_named() -> None:
    assert places(causes(at_once, reference, P, X), __file__) == [line_of(at_once, "return")]
