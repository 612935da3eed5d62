"""Decoding with a cache; a decoded token always gets rotary position 0 (mlx-vlm #1983)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, PROMPT, THETA = 3, 12, 6, 1000.0


def inputs():
    r = np.random.default_rng(109)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    wide = HEADS * DEPTH
    params = {"norm": jnp.asarray(1 + 0.1 * r.normal(size=34), jnp.float32), "q": 2 * n(wide, 34)}
    params |= {"k": 2 * n(wide, 34), "v": n(wide, 34), "o": n(34, wide), "head": n(45, 34)}
    return params, jnp.asarray(r.normal(size=(2, 11, 34)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    h = x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * params["norm"]
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    inv = 1.0 / THETA ** (np.arange(0, DEPTH, 2) / DEPTH)
    emb = np.concatenate([np.outer(np.arange(s), inv)] * 2, axis=-1)
    cos, sin = jnp.asarray(np.cos(emb), x.dtype), jnp.asarray(np.sin(emb), x.dtype)
    rotate = lambda t: jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], axis=-1)
    q, k = q * cos + rotate(q) * sin, k * cos + rotate(k) * sin
    scores = q @ k.swapaxes(2, 3) / DEPTH**0.5 + jnp.triu(jnp.full((s, s), -1e30, x.dtype), 1)
    y = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    return (x + y @ params["o"].T) @ params["head"].T


class Cache(NamedTuple):
    keys: jax.Array
    values: jax.Array
    filled: jax.Array


def rope(t, positions):
    """[batch, time, heads, depth]; a turn of depth/2 complex numbers."""
    half = DEPTH // 2
    rates = jnp.asarray([THETA ** (-i / half) for i in range(half)])
    angles = (positions[:, None] * rates)[:, None]
    c, s = jnp.cos(angles).astype(t.dtype), jnp.sin(angles).astype(t.dtype)
    a, b = t[..., :half], t[..., half:]
    return jnp.concatenate([a * c - b * s, a * s + b * c], axis=-1)


class Attention:
    def __init__(self, params, right):
        kernel = jnp.stack([params[n].reshape(HEADS, DEPTH, -1) for n in "qkv"]) * params["norm"]
        self.kernel, self.out, self.right = kernel, params["o"].reshape(-1, HEADS, DEPTH), right

    def __call__(self, cache, x):
        normed = x * jax.lax.rsqrt(jnp.einsum("btm,btm->bt", x, x)[..., None] / x.shape[-1] + 1e-6)
        query, key, value = jnp.einsum("btm,nhdm->nbthd", normed, self.kernel)
        steps = jnp.arange(x.shape[1])
        where = steps + cache.filled if self.right else steps  # FAULT
        query, key = rope(query * DEPTH**-0.5, where), rope(key, where)  # FAULT
        keys = jax.lax.dynamic_update_slice_in_dim(cache.keys, key, cache.filled, axis=1)
        values = jax.lax.dynamic_update_slice_in_dim(cache.values, value, cache.filled, axis=1)
        seen = jnp.arange(keys.shape[1]) <= (steps + cache.filled)[:, None]
        scores = jnp.where(seen[:, None], jnp.einsum("bthd,bshd->bths", query, keys), -jnp.inf)
        mixed = jnp.einsum("bths,bshd->bthd", jax.nn.softmax(scores), values)
        out = x + jnp.einsum("bthd,mhd->btm", mixed, self.out)
        return Cache(keys, values, cache.filled + x.shape[1]), out


def _generate(params, x, right):
    layer = Attention(params, right)
    empty = jnp.zeros((*x.shape[:2], HEADS, DEPTH), x.dtype)
    cache, prompt = layer(Cache(empty, empty, jnp.int32(0)), x[:, :PROMPT])
    fed = jnp.moveaxis(x[:, PROMPT:, None], 1, 0)
    _, decoded = jax.lax.scan(layer, cache, fed)
    hidden = jnp.concatenate([prompt, jnp.moveaxis(decoded[:, :, 0], 0, 1)], axis=1)
    return jnp.einsum("btm,vm->btv", hidden, params["head"])


def ours(params, x):
    return _generate(params, x, right=False)


def fixed(params, x):
    return _generate(params, x, right=True)
