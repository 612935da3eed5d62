"""ALiBi attention; one geometric row of slopes, which is wrong for heads that are no power of two (mlx #3071, #343)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 6, 8


def inputs():
    r = np.random.default_rng(110)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(48, 48), "k": n(48, 48), "v": n(48, 48), "o": n(48, 48)}
    params |= {"norm": jnp.asarray(1 + 0.2 * r.normal(size=48), jnp.float32), "bias": n(48)}
    return params, jnp.asarray(r.normal(size=(2, 9, 48)), jnp.float32)


def reference(params, x):
    def slopes(n):
        if math.log2(n).is_integer():
            start = 2 ** (-(2 ** -(math.log2(n) - 3)))
            return [start * start**i for i in range(n)]
        closest = 2 ** math.floor(math.log2(n))
        return slopes(closest) + slopes(2 * closest)[0::2][: n - closest]

    b, s, e = x.shape
    mu = x.mean(-1, keepdims=True)
    h = (x - mu) / jnp.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + 1e-5) * params["norm"] + params["bias"]
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).swapaxes(1, 2) for n in "qkv")
    distance = np.arange(s)[None, :] - np.arange(s)[:, None]
    bias = np.array(slopes(HEADS), np.float32)[:, None, None] * distance
    bias = np.where(distance > 0, np.float32(-1e9), bias)
    y = jax.nn.softmax(q @ k.swapaxes(2, 3) / np.sqrt(DEPTH) + bias, axis=-1) @ v
    return x + y.swapaxes(1, 2).reshape(b, s, e) @ params["o"].T


class ALiBi:
    def __init__(self, right):
        self.right = right

    def slope(self, heads):
        if not self.right:
            base = (2**8) ** (1 / heads)
            return jnp.power(base, -jnp.arange(1.0, heads + 1))  # FAULT
        power = 1 << (heads.bit_length() - 1)
        exponents = (8.0 / power) * jnp.arange(1, power + 1)
        between = (4.0 / power) * jnp.arange(1, 2 * (heads - power), 2)
        return jnp.exp2(-jnp.concatenate([exponents, between]))

    def __call__(self, scores):
        where = jnp.arange(scores.shape[-1])
        gap = jnp.abs(where[:, None] - where).astype(scores.dtype)
        return scores - jnp.einsum("qk,h->qhk", gap, self.slope(scores.shape[-2]))  # FAULT


class Attention:
    def __init__(self, params, right):
        self.p, self.alibi = params, ALiBi(right)

    def heads(self, name, t):
        return jnp.einsum("bsm,hdm->bshd", t, self.p[name].reshape(HEADS, DEPTH, -1))

    def __call__(self, x):
        mean = jnp.mean(x, axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.var(x, axis=-1, keepdims=True) + 1e-5)
        t = (x * inverse - mean * inverse) * self.p["norm"] + self.p["bias"]
        query = self.heads("q", t) * (1 / np.sqrt(DEPTH))
        scores = self.alibi(jnp.einsum("bqhd,bkhd->bqhk", query, self.heads("k", t)))
        seen = jnp.tri(x.shape[1], dtype=bool)[:, None, :]
        weights = jax.nn.softmax(scores, axis=-1, where=seen)
        mixed = jnp.einsum("bqhk,bkhd->bqhd", weights, self.heads("v", t))
        return jnp.einsum("bqhd,mhd->bqm", mixed, self.p["o"].reshape(-1, HEADS, DEPTH)) + x


def ours(params, x):
    return Attention(params, right=False)(x)


def fixed(params, x):
    return Attention(params, right=True)(x)
