"""Qwen3 attention; query and key norms average over all heads at once, not each head (gpt-neox #1367)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, SHARED, DEPTH, WIDTH = 4, 2, 12, 40


def inputs():
    r = np.random.default_rng(303)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda m: jnp.asarray(1 + 0.3 * r.normal(size=m), jnp.float32)
    loud = jnp.repeat(jnp.asarray([0.5, 1.0, 2.0, 1.4], jnp.float32), DEPTH)[:, None]
    params = {"q_proj": n(48, WIDTH) * loud, "k_proj": n(24, WIDTH) * loud[:24], "v_proj": n(24, WIDTH)}
    params |= {"o_proj": n(WIDTH, 48), "norm": gain(WIDTH), "q_norm": gain(DEPTH), "k_norm": gain(DEPTH)}
    return params, jnp.asarray(r.normal(size=(2, 7, WIDTH)), jnp.float32)


def reference(params, x):
    def rms_norm(t, weight):
        return weight * (t / jnp.sqrt(jnp.mean(t * t, axis=-1, keepdims=True) + 1e-6))

    def rotate_half(t):
        return jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], axis=-1)

    b, s, _ = x.shape
    h = rms_norm(x, params["norm"])
    q, k, v = ((h @ params[f"{i}_proj"].T).reshape(b, s, -1, DEPTH) for i in "qkv")
    q, k = rms_norm(q, params["q_norm"]), rms_norm(k, params["k_norm"])
    q, k, v = (t.transpose(0, 2, 1, 3) for t in (q, k, v))
    freqs = np.outer(np.arange(s), 1.0 / (1e6 ** (np.arange(0, DEPTH, 2) / DEPTH)))
    cos, sin = (np.tile(f(freqs), 2).astype(np.float32) for f in (np.cos, np.sin))
    q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
    k, v = jnp.repeat(k, HEADS // SHARED, axis=1), jnp.repeat(v, HEADS // SHARED, axis=1)
    weights = q @ k.swapaxes(2, 3) * DEPTH**-0.5 + np.triu(np.full((s, s), -1e9, np.float32), 1)
    out = (jax.nn.softmax(weights, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    return x + out @ params["o_proj"].T


class TokenNorm(nnx.Module):
    """Scales a tensor of (..., heads, depth)."""

    def __init__(self, scale):
        self.scale = nnx.Param(scale)

    def power(self, t):
        return jnp.square(t).mean(axis=(-2, -1), keepdims=True)  # FAULT

    def __call__(self, t):
        return t * (jax.lax.rsqrt(self.power(t) + 1e-6) * self.scale[...])  # FAULT


class HeadNorm(TokenNorm):
    def power(self, t):
        return jnp.einsum("...d,...d->...", t, t)[..., None] / t.shape[-1]


class Attention(nnx.Module):
    def __init__(self, params, norm):
        self.qkv = nnx.Param(jnp.concatenate([params["q_proj"], params["k_proj"], params["v_proj"]]).T)
        self.out = nnx.Param(params["o_proj"].reshape(WIDTH, SHARED, HEADS // SHARED, DEPTH))
        self.pre, self.query_norm = HeadNorm(params["norm"]), norm(params["q_norm"])
        self.key_norm = norm(params["k_norm"])

    def rope(self, t):
        turns = np.arange(t.shape[1])[:, None] / np.power(1e6, np.arange(DEPTH // 2) / (DEPTH // 2))
        cos, sin = (jnp.asarray(f(turns)[:, None], t.dtype) for f in (np.cos, np.sin))
        pair = t.reshape(*t.shape[:-1], 2, DEPTH // 2)
        first, second = pair[..., 0, :], pair[..., 1, :]
        return jnp.stack([first * cos - second * sin, second * cos + first * sin], axis=-2).reshape(t.shape)

    def __call__(self, x):
        heads = jnp.dot(self.pre(x), self.qkv[...]).reshape(*x.shape[:2], HEADS + 2 * SHARED, DEPTH)
        query, key, value = jnp.split(heads, [HEADS, HEADS + SHARED], axis=2)
        query, key = self.rope(self.query_norm(query)), self.rope(self.key_norm(key))
        query = query.reshape(*x.shape[:2], SHARED, HEADS // SHARED, DEPTH)
        scores = jnp.einsum("bqgrd,bkgd->bgrqk", query, key) / np.sqrt(DEPTH).item()
        scores = jnp.where(jnp.tri(x.shape[1], dtype=bool), scores, -jnp.inf)
        mixed = jnp.einsum("bgrqk,bkgd->bqgrd", nnx.softmax(scores), value)
        return jnp.einsum("bqgrd,mgrd->bqm", mixed, self.out[...]) + x


def ours(params, x):
    return Attention(params, TokenNorm)(x)


def fixed(params, x):
    return Attention(params, HeadNorm)(x)
