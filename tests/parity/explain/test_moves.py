"""Elements in other places: which operation put them there."""

import jax
import jax.numpy as jnp
import numpy as np
from explanations_for_tests import line_of, places

from parity.explain import causes

R = np.random.default_rng(6)
X = jnp.asarray(R.standard_normal((2, 6, 12)), jnp.float32)
P = {k: jnp.asarray(R.standard_normal((12, 12)) / 12**0.5, jnp.float32) for k in "abgo"}


def triangle_reference(p, z):
    left, right = z @ p["a"].T, z @ p["b"].T
    made = jnp.einsum("kic,kjc->ijc", left, right)
    return z + jax.nn.sigmoid(z @ p["g"].T) * (made @ p["o"].T)


def planes(left, right):
    return jax.vmap(lambda a, b: a.T @ b)(left, right)


def triangle(p, z):
    left, right = (jnp.einsum("kjp,cp->ckj", z, p[k]) for k in "ba")
    made = jnp.moveaxis(planes(left, right), 0, -1)
    gate = 1 / (1 + jnp.exp(-jnp.einsum("ijp,cp->ijc", z, p["g"])))
    return gate * jnp.einsum("ijc,oc->ijo", made, p["o"]) + z


def test_a_product_transposed_is_named_where_it_is_taken() -> None:
    """What comes after it works on each place alone, and shows nothing."""
    z = jnp.asarray(R.standard_normal((6, 6, 12)), jnp.float32)
    assert places(causes(triangle, triangle_reference, P, z), __file__) == [
        line_of(planes, "return")
    ]


def grouped_reference(p, x):
    q = jnp.swapaxes((x @ p["a"].T).reshape(2, 6, 4, 3), 1, 2)
    k = jnp.repeat(jnp.swapaxes((x @ p["b"][:6].T).reshape(2, 6, 2, 3), 1, 2), 2, axis=1)
    weights = jax.nn.softmax(q @ jnp.swapaxes(k, 2, 3), -1)
    v = jnp.swapaxes((x @ p["g"].T).reshape(2, 6, 4, 3), 1, 2)
    return jnp.swapaxes(weights @ v, 1, 2).reshape(2, 6, 12) @ p["o"].T


def widen(t):
    t = jnp.broadcast_to(t[:, :, None], (2, 6, 2, 2, 3))
    return t.reshape(2, 6, 4, 3)


def grouped(p, x):
    q = jnp.einsum("bti,hdi->bthd", x, p["a"].reshape(4, 3, 12))
    k = widen(jnp.einsum("bti,hdi->bthd", x, p["b"][:6].reshape(2, 3, 12)))
    weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bqkh", q, k), axis=2)
    v = jnp.einsum("bti,hdi->bthd", x, p["g"].reshape(4, 3, 12))
    mixed = jnp.einsum("bqkh,bkhd->bqhd", weights, v)
    return jnp.einsum("bqhd,ohd->bqo", mixed, p["o"].reshape(12, 4, 3))


def test_heads_repeated_by_turns_are_named_where_they_are_repeated() -> None:
    found = places(causes(grouped, grouped_reference, P, X), __file__)
    assert found[0] == line_of(widen, "t = jnp.broadcast_to")
