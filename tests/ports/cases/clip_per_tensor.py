"""A training step; gradients are clipped by each tensor's norm, not by that of all (transformers #614)."""

import jax
import jax.numpy as jnp
import numpy as np

RATE, LIMIT = 0.5, 0.3


def inputs():
    r = np.random.default_rng(114)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"w1": n(35, 22), "b1": 0.1 * n(35), "w2": n(29, 35), "b2": 0.1 * n(29), "w3": n(6, 29)}
    x = {"data": r.normal(size=(17, 22)), "target": 3 * r.normal(size=(17, 6))}
    return params, {k: jnp.asarray(v, jnp.float32) for k, v in x.items()}


def reference(params, x):
    """Backpropagation by hand."""
    n = x["data"].shape[0]
    a1 = jnp.tanh(x["data"] @ params["w1"].T + params["b1"])
    s2 = a1 @ params["w2"].T + params["b2"]
    a2 = s2 * jax.nn.sigmoid(s2)
    d3 = (a2 @ params["w3"].T - x["target"]) * (2 / (n * x["target"].shape[1]))
    grads = {"w3": d3.T @ a2}
    gate = jax.nn.sigmoid(s2)
    d2 = (d3 @ params["w3"]) * (gate * (1 + s2 * (1 - gate)))
    grads |= {"w2": d2.T @ a1, "b2": d2.sum(0)}
    d1 = (d2 @ params["w2"]) * (1 - a1**2)
    grads |= {"w1": d1.T @ x["data"], "b1": d1.sum(0)}
    total = 0.0
    for g in grads.values():
        total = total + (g**2).sum()
    scale = jnp.minimum(LIMIT / jnp.sqrt(total), 1.0)
    return {k: p - RATE * (grads[k] * scale) for k, p in params.items()}


class Clip:
    def __init__(self, limit, together):
        self.limit, self.together = limit, together

    def factors(self, grads):
        squares = jax.tree.map(lambda g: jnp.vdot(g, g), grads)  # FAULT
        if self.together:
            everything = jax.tree.reduce(jnp.add, squares)
            squares = jax.tree.map(lambda _: everything, squares)
        larger = jax.tree.map(lambda s: jnp.maximum(s, self.limit**2), squares)  # FAULT
        return jax.tree.map(lambda s: self.limit * jax.lax.rsqrt(s), larger)

    def __call__(self, grads):
        return jax.tree.map(jnp.multiply, grads, self.factors(grads))


def _predict(params, row):
    hidden = jnp.tanh(jnp.einsum("i,hi->h", row, params["w1"]) + params["b1"])
    hidden = jax.nn.silu(jnp.einsum("h,gh->g", hidden, params["w2"]) + params["b2"])
    return jnp.einsum("g,og->o", hidden, params["w3"])


def _loss(params, x):
    predicted = jax.vmap(_predict, (None, 0))(params, x["data"])
    return jnp.square(predicted - x["target"]).mean()


def _step(params, x, together):
    clipped = Clip(LIMIT, together)(jax.grad(_loss)(params, x))
    return jax.tree.map(lambda p, g: p - RATE * g, params, clipped)


def ours(params, x):
    return _step(params, x, together=False)


def fixed(params, x):
    return _step(params, x, together=True)
