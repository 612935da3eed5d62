"""Sliding-window attention; the mask lets through the window and one key more (mlx-lm #390, transformers #39408)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WINDOW = 4, 8, 4


def inputs():
    r = np.random.default_rng(109)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"qkv": n(96, 32), "qkv_b": n(96), "o": n(32, 32), "o_b": n(32)}
    params |= {"g": jnp.asarray(1 + 0.2 * r.normal(size=32), jnp.float32), "b": n(32)}
    return params, jnp.asarray(r.normal(size=(2, 12, 32)), jnp.float32)


def reference(params, x):
    b, s, e = x.shape
    mu = x.mean(-1, keepdims=True)
    h = (x - mu) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * params["g"] + params["b"]
    q, k, v = jnp.split(h @ params["qkv"].T + params["qkv_b"], 3, axis=-1)
    k = jnp.pad(k, ((0, 0), (WINDOW - 1, 0), (0, 0)))
    v = jnp.pad(v, ((0, 0), (WINDOW - 1, 0), (0, 0)))
    near = np.arange(s)[:, None] + np.arange(WINDOW)[None, :]
    k = k[:, near].reshape(b, s, WINDOW, HEADS, DEPTH)
    v = v[:, near].reshape(b, s, WINDOW, HEADS, DEPTH)
    q = q.reshape(b, s, HEADS, DEPTH)
    a = (q[:, :, None] * k).sum(-1) / DEPTH**0.5
    a = a + jnp.where(near >= WINDOW - 1, 0.0, -1e30)[None, :, :, None]
    p = jax.nn.softmax(a, axis=2)
    y = (p[..., None] * v).sum(2).reshape(b, s, e)
    return x + y @ params["o"].T + params["o_b"]


def window_mask(size, right):
    rows = jax.lax.broadcasted_iota(jnp.int32, (size, size), 0)
    columns = jax.lax.broadcasted_iota(jnp.int32, (size, size), 1)
    behind = rows - columns
    if right:
        recent = behind < WINDOW
    else:
        recent = behind <= WINDOW  # FAULT
    return jnp.logical_and(behind >= 0, recent)  # FAULT


class LocalAttention:
    def __init__(self, params, right):
        self.p, self.right = params, right
        self.kernel = params["qkv"].reshape(3, HEADS, DEPTH, -1)
        self.bias = params["qkv_b"].reshape(3, 1, HEADS, 1, DEPTH)

    def norm(self, t):
        mean = jnp.mean(t, axis=-1, keepdims=True)
        inv = jax.lax.rsqrt(jnp.mean(t * t, axis=-1, keepdims=True) - mean**2 + 1e-5) * self.p["g"]
        return t * inv + (self.p["b"] - mean * inv)

    def __call__(self, x):
        query, key, value = jnp.einsum("bsm,chdm->cbhsd", self.norm(x), self.kernel) + self.bias
        scores = jnp.einsum("bhqd,bhkd->bhqk", query * np.float32(DEPTH**-0.5), key)
        scores = jnp.where(window_mask(x.shape[1], self.right), scores, -jnp.inf)  # FAULT
        weights = jnp.exp(scores - jax.nn.logsumexp(scores, axis=-1, keepdims=True))
        mixed = jnp.einsum("bhqk,bhkd->bhqd", weights, value)
        out = jnp.einsum("bhqd,mhd->bqm", mixed, self.p["o"].reshape(-1, HEADS, DEPTH))
        return out + self.p["o_b"] + x


def ours(params, x):
    return LocalAttention(params, right=False)(x)


def fixed(params, x):
    return LocalAttention(params, right=True)(x)
