"""Sliding-window attention; a query sees one key more than the window (mlx-lm #390, transformers #39408)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, SHARED, DEPTH, WINDOW = 6, 2, 7, 5


def inputs():
    r = np.random.default_rng(110)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": 2 * n(HEADS * DEPTH, 38), "k": 2 * n(SHARED * DEPTH, 38), "v": n(SHARED * DEPTH, 38)}
    params |= {"o": n(38, HEADS * DEPTH), "gq": jnp.asarray(1 + 0.1 * r.normal(size=DEPTH), jnp.float32)}
    params["gk"] = jnp.asarray(1 + 0.1 * r.normal(size=DEPTH), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 13, 38)), jnp.float32)


def reference(params, x):
    def norm(t, g):
        return t / jnp.sqrt((t**2).mean(-1, keepdims=True) + 1e-6) * g

    b, s, _ = x.shape
    q = norm((x @ params["q"].T).reshape(b, s, HEADS, DEPTH), params["gq"])
    k = norm((x @ params["k"].T).reshape(b, s, SHARED, DEPTH), params["gk"])
    v = (x @ params["v"].T).reshape(b, s, SHARED, DEPTH)
    k, v = (jnp.repeat(t, HEADS // SHARED, axis=2) for t in (k, v))
    rows = []
    for i in range(s):
        start = max(0, i - WINDOW + 1)
        scores = jnp.sum(q[:, i : i + 1] * k[:, start : i + 1], axis=-1) / DEPTH**0.5
        probs = jax.nn.softmax(scores, axis=1)
        rows.append(jnp.sum(probs[..., None] * v[:, start : i + 1], axis=1))
    return jnp.stack(rows, axis=1).reshape(b, s, -1) @ params["o"].T


class LocalAttention(nnx.Module):
    def __init__(self, params, right):
        self.query = nnx.Param(params["q"].reshape(SHARED, HEADS // SHARED, DEPTH, -1))
        self.pair = nnx.Param(jnp.stack([params["k"], params["v"]]).reshape(2, SHARED, DEPTH, -1))
        self.out = nnx.Param(params["o"].T.reshape(SHARED, HEADS // SHARED, DEPTH, -1))
        self.gain = nnx.Param(params["gq"] * params["gk"] * DEPTH**-0.5)
        self.right = right

    def unit(self, t):
        return t * jax.lax.rsqrt(jnp.einsum("...d,...d->...", t, t)[..., None] / DEPTH + 1e-6)

    def mask(self, length):
        gap = jnp.arange(length)[:, None] - jnp.arange(length)
        near = gap < WINDOW if self.right else gap <= WINDOW  # FAULT
        return near & (gap >= 0)  # FAULT

    def __call__(self, x):
        query = self.unit(jnp.einsum("btm,grdm->bgrtd", x, self.query[...])) * self.gain[...]
        key, value = jnp.einsum("bsm,ngdm->nbgsd", x, self.pair[...])
        scores = jnp.einsum("bgrtd,bgsd->bgrts", query, self.unit(key))
        weights = jnp.where(self.mask(x.shape[1]), jnp.exp(scores), 0)
        mixed = jnp.einsum("bgrts,bgsd->bgrtd", weights, value) / weights.sum(-1)[..., None]
        return jnp.einsum("bgrtd,grdm->btm", mixed, self.out[...])


def ours(params, x):
    return LocalAttention(params, right=False)(x)


def fixed(params, x):
    return LocalAttention(params, right=True)(x)
