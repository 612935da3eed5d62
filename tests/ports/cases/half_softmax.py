"""Causal attention in bfloat16; the scores and their softmax stay in the half type (axlearn #18)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

ONLY = "bfloat16"
HEADS, DEPTH = 3, 14


def inputs():
    r = np.random.default_rng(119)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": 2.5 * n(42, 34), "k": 2 * n(42, 34), "v": n(42, 34), "o": n(34, 42)}
    params["norm"] = jnp.asarray(1 + 0.1 * r.normal(size=34), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 23, 34)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    full = jnp.promote_types(x.dtype, jnp.float32)
    f = x.astype(full)
    f = f * jax.lax.rsqrt(jnp.mean(f**2, axis=-1, keepdims=True) + 1e-6)
    h = params["norm"] * f.astype(x.dtype)
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    scores = q.astype(full) @ k.astype(full).transpose(0, 1, 3, 2) / DEPTH**0.5
    scores = jnp.where(jnp.tril(jnp.ones((s, s), bool)), scores, -jnp.inf)
    p = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
    y = (p @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    return y @ params["o"].T


class Attention(nnx.Module):
    def __init__(self, params, upcast):
        self.scale = nnx.Param(params["norm"])
        self.qkv = nnx.Param(jnp.stack([params[n].reshape(HEADS, DEPTH, -1) for n in "qkv"]))
        self.out = nnx.Param(params["o"].T.reshape(HEADS, DEPTH, -1))
        self.upcast = upcast

    def normed(self, x):
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        size = jnp.sqrt(jnp.einsum("bsm,bsm->bs", wide, wide) / x.shape[-1] + 1e-6)
        return (wide / size[..., None]).astype(x.dtype) * self.scale[...]

    def weights(self, query, key):
        kind = jnp.promote_types(query.dtype, jnp.float32) if self.upcast else query.dtype
        logits = jnp.einsum("hbqd,hbkd->hbqk", query.astype(kind), key.astype(kind))  # FAULT
        logits = logits * DEPTH**-0.5
        later = jnp.arange(query.shape[2])[:, None] < jnp.arange(query.shape[2])
        logits = jnp.where(later, jnp.finfo(kind).min, logits)
        shares = jnp.exp(logits - logits.max(-1, keepdims=True))  # FAULT
        return shares.astype(query.dtype), shares.sum(-1, keepdims=True).astype(query.dtype)

    def __call__(self, x):
        query, key, value = jnp.einsum("bsm,chdm->chbsd", self.normed(x), self.qkv[...])
        shares, total = self.weights(query, key)
        mixed = jnp.einsum("hbqk,hbkd->hbqd", shares, value) / total
        return jnp.einsum("hbqd,hdm->bqm", mixed, self.out[...])


def ours(params, x):
    return Attention(params, upcast=False)(x)  # FAULT


def fixed(params, x):
    return Attention(params, upcast=True)(x)
