"""Qwen2 attention; the biases of the query, key and value projections are not loaded (ANEForge #253)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, SHARED, DEPTH = 6, 2, 6


def inputs():
    r = np.random.default_rng(103)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q.weight": n(36, 28), "k.weight": n(12, 28), "v.weight": n(12, 28), "o.weight": n(28, 36)}
    params |= {"q.bias": 3 * n(36), "k.bias": 3 * n(12), "v.bias": n(12)}
    params["norm"] = jnp.asarray(1 + 0.1 * r.normal(size=28), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 9, 28)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    h = params["norm"] * x / jnp.sqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
    q, k, v = (h @ params[f"{n}.weight"].T + params[f"{n}.bias"] for n in "qkv")
    q = q.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3)
    k = k.reshape(b, s, SHARED, DEPTH).transpose(0, 2, 1, 3)
    v = v.reshape(b, s, SHARED, DEPTH).transpose(0, 2, 1, 3)
    inv = 1.0 / 1000000.0 ** (jnp.arange(0, DEPTH, 2) / DEPTH)
    emb = jnp.tile(jnp.outer(jnp.arange(s), inv), (1, 2))
    half = lambda t: jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], axis=-1)
    q = q * jnp.cos(emb) + half(q) * jnp.sin(emb)
    k = k * jnp.cos(emb) + half(k) * jnp.sin(emb)
    k, v = jnp.repeat(k, HEADS // SHARED, axis=1), jnp.repeat(v, HEADS // SHARED, axis=1)
    att = q @ k.swapaxes(2, 3) * DEPTH**-0.5 + jnp.triu(jnp.full((s, s), -1e9), 1)
    y = (jax.nn.softmax(att, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    return x + y @ params["o.weight"].T


class Heads(nnx.Module):
    def __init__(self, state, name, with_bias):
        self.kernel = nnx.Param(jnp.stack(jnp.split(state[f"{name}.weight"].T, SHARED, axis=1)))
        self.bias = nnx.Param(state[f"{name}.bias"].reshape(SHARED, 1, -1)) if with_bias else None  # FAULT

    def __call__(self, x):
        y = jnp.einsum("bsm,gmf->bgsf", x, self.kernel[...])  # FAULT
        if self.bias is not None:
            y = y + self.bias[...]
        return y.reshape(*y.shape[:-1], -1, DEPTH)


class Attention(nnx.Module):
    def __init__(self, state, with_bias):
        self.scale = nnx.Param(state["norm"])
        self.query, self.key, self.value = (Heads(state, name, with_bias) for name in "qkv")
        self.out = nnx.Param(state["o.weight"].T.reshape(SHARED, HEADS // SHARED, DEPTH, -1))

    def rope(self, t):
        angle = jnp.arange(t.shape[2])[:, None, None] / jnp.power(1e6, jnp.arange(DEPTH // 2) * 2 / DEPTH)
        first, second = jnp.split(t, 2, -1)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.concatenate([first * c - second * s, second * c + first * s], -1)

    def __call__(self, x):
        inverse = jax.lax.rsqrt(jnp.square(x).sum(-1) / x.shape[-1] + 1e-6)
        normed = x * (inverse[..., None] * self.scale[...])
        query = self.rope(self.query(normed)) / np.sqrt(DEPTH).item()
        key, value = self.rope(self.key(normed)), self.value(normed)
        scores = jnp.einsum("bgqrd,bgkud->bgrqk", query, key)
        visible = jnp.arange(x.shape[1])[:, None] >= jnp.arange(x.shape[1])
        probs = jax.nn.softmax(scores, axis=-1, where=visible)
        return x + jnp.einsum("bgrqk,bgkud,grdm->bqm", probs, value, self.out[...])


def ours(params, x):
    return Attention(params, with_bias=False)(x)


def fixed(params, x):
    return Attention(params, with_bias=True)(x)
