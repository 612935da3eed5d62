"""T5 decoder; the output is not scaled by width**-0.5 though embedding and head are tied (mlx-examples #591)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WIDTH = 4, 8, 32


def inputs():
    r = np.random.default_rng(66)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"shared": jnp.asarray(r.normal(size=(50, WIDTH)), jnp.float32), "memory": n(2, 6, WIDTH) * 5}
    params |= {"bias": 3 * n(32, HEADS), "wi": n(64, WIDTH), "wo": n(WIDTH, 64)}
    for kind in ("self", "cross"):
        params[kind] = {m: n(WIDTH, WIDTH) * (0.6 if m in "qk" else 1.0) for m in "qkvo"}
    params |= {f"n{i}": jnp.asarray(1 + 0.2 * r.normal(size=WIDTH), jnp.float32) for i in range(4)}
    return params, jnp.asarray(r.normal(size=(2, 8, WIDTH)), jnp.float32)


def reference(params, x):
    def norm(h, i):
        return params[f"n{i}"] * (h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-6))

    def attention(h, source, w, bias):
        split = lambda t: t.reshape(t.shape[0], -1, HEADS, DEPTH).transpose(0, 2, 1, 3)
        q, k, v = split(h @ w["q"].T), split(source @ w["k"].T), split(source @ w["v"].T)
        y = jax.nn.softmax(q @ k.swapaxes(2, 3) + bias, axis=-1) @ v
        return y.transpose(0, 2, 1, 3).reshape(h.shape) @ w["o"].T

    s = x.shape[1]
    distance = jnp.maximum(jnp.arange(s)[:, None] - jnp.arange(s)[None, :], 0)
    bias = params["bias"][distance].transpose(2, 0, 1)[None] + (1.0 - jnp.tril(jnp.ones((s, s)))) * -1e9
    h = norm(x, 0)
    x = x + attention(h, h, params["self"], bias)
    x = x + attention(norm(x, 1), params["memory"], params["cross"], 0.0)
    x = x + jax.nn.relu(norm(x, 2) @ params["wi"].T) @ params["wo"].T
    sequence_output = norm(x, 3) * WIDTH**-0.5
    return sequence_output @ params["shared"].T


def rms_norm(t, weight):
    return t * weight / jnp.sqrt(jnp.einsum("bsm,bsm->bs", t, t)[..., None] / t.shape[-1] + 1e-6)


class Attention:
    def __init__(self, weights):
        self.w = {m: weights[m].reshape(HEADS, DEPTH, -1) for m in "qkv"}
        self.out = weights["o"].reshape(-1, HEADS, DEPTH)

    def __call__(self, t, source, bias=None, keep=None):
        q = jnp.einsum("bsm,hdm->bshd", t, self.w["q"])
        k, v = jnp.einsum("bsm,thdm->tbshd", source, jnp.stack([self.w["k"], self.w["v"]]))
        scores = jnp.einsum("bqhd,bkhd->bqkh", q, k)
        scores = scores if bias is None else jnp.where(keep, scores + bias, -jnp.inf)
        mixed = jnp.einsum("bqkh,bkhd->bqhd", jax.nn.softmax(scores, axis=2), v)
        return jnp.einsum("bqhd,mhd->bqm", mixed, self.out)


class Head:
    def __init__(self, embedding, scale):
        self.embedding, self.scale = embedding, scale

    def __call__(self, t):
        if self.scale:
            t = t / np.float32(np.sqrt(t.shape[-1]))
        return jnp.einsum("bsm,vm->bsv", t, self.embedding)  # FAULT


def _decode(params, x, scale):
    norms = [lambda t, i=i: rms_norm(t, params[f"n{i}"]) for i in range(4)]
    gap = np.subtract.outer(np.arange(x.shape[1]), np.arange(x.shape[1]))
    bias = jnp.take(params["bias"], np.clip(gap, 0, None), axis=0)
    h = norms[0](x)
    x = Attention(params["self"])(h, h, bias, (gap >= 0)[..., None]) + x
    x = Attention(params["cross"])(norms[1](x), params["memory"]) + x
    hidden = jnp.maximum(jnp.einsum("bsm,fm->bsf", norms[2](x), params["wi"]), 0)
    x = jnp.einsum("bsf,mf->bsm", hidden, params["wo"]) + x
    return Head(params["shared"], scale)(norms[3](x))


def ours(params, x):
    return _decode(params, x, scale=False)


def fixed(params, x):
    return _decode(params, x, scale=True)
