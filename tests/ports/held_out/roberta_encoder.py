"""RoBERTa; positions count from 0 as in BERT, not from padding_idx + 1 (sentence-transformers #3879, ANEForge #257)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, PADDING = 2, 16, 1
LENGTHS = np.array([9, 6])


def inputs():
    r = np.random.default_rng(64)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"pos": 3 * n(14, 32), "qkv": n(96, 32), "bqkv": 0.2 * n(96), "o": n(32, 32), "bo": 0.2 * n(32)}
    params |= {"i": n(64, 32), "bi": 0.2 * n(64), "f": n(32, 64), "bf": 0.2 * n(32)}
    params |= {f"g{i}": jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32) for i in range(3)}
    params |= {f"b{i}": jnp.asarray(0.1 * r.normal(size=32), jnp.float32) for i in range(3)}
    return params, jnp.asarray(r.normal(size=(2, 9, 32)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        t = t - t.mean(-1, keepdims=True)
        return t / jnp.sqrt(jnp.square(t).mean(-1, keepdims=True) + 1e-5) * params[f"g{i}"] + params[f"b{i}"]

    b, s, e = x.shape
    attention_mask = jnp.asarray(np.arange(s) < LENGTHS[:, None], jnp.float32)
    position_ids = jnp.broadcast_to(jnp.arange(PADDING + 1, PADDING + 1 + s), (b, s))
    x = ln(x + params["pos"][position_ids], 0)
    qkv = (x @ params["qkv"].T + params["bqkv"]).reshape(b, s, 3, HEADS, DEPTH)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(2, 3) / np.sqrt(DEPTH) + (1 - attention_mask[:, None, None]) * -1e9
    y = (jax.nn.softmax(scores, -1) @ v).swapaxes(1, 2).reshape(b, s, e)
    x = ln(x + y @ params["o"].T + params["bo"], 1)
    h = jax.nn.gelu(x @ params["i"].T + params["bi"], approximate=False)
    x = ln(x + h @ params["f"].T + params["bf"], 2)
    return (x * attention_mask[..., None]).sum(1) / attention_mask.sum(1)[:, None]


class Encoder:
    def __init__(self, params, start):
        self.p, self.start = params, start

    def norm(self, t, i):
        mean, square = jnp.mean(t, -1, keepdims=True), jnp.mean(t * t, -1, keepdims=True)
        inv = self.p[f"g{i}"] * jax.lax.rsqrt(square - mean * mean + 1e-5)
        return inv * t + (self.p[f"b{i}"] - inv * mean)

    def embed(self, t):
        rows = jax.lax.dynamic_slice_in_dim(self.p["pos"], self.start, t.shape[1])  # FAULT
        return self.norm(rows[None] + t, 0)  # FAULT

    def attend(self, t, keep):
        part = lambda name, i: jnp.split(self.p[name], 3)[i].reshape(HEADS, DEPTH, *self.p[name].shape[1:])
        q, k, v = (jnp.einsum("bsm,hdm->bshd", t, part("qkv", i)) + part("bqkv", i) for i in range(3))
        scores = jnp.einsum("bqhd,bkhd->bqhk", q * DEPTH**-0.5, k)
        weights = jnp.exp(scores - scores.max(-1, keepdims=True)) * keep[:, None, None]
        weights = weights / weights.sum(-1, keepdims=True)
        return jnp.einsum("bqhk,bkhd,mhd->bqm", weights, v, self.p["o"].reshape(-1, HEADS, DEPTH)) + self.p["bo"]

    def __call__(self, t):
        keep = np.arange(t.shape[1])[None] < LENGTHS[:, None]
        t = self.embed(t)
        t = self.norm(self.attend(t, keep) + t, 1)
        h = jnp.einsum("bsm,fm->bsf", t, self.p["i"]) + self.p["bi"]
        h = 0.5 * h * (1 + jax.lax.erf(h * np.float32(np.sqrt(0.5))))
        t = self.norm(jnp.einsum("bsf,mf->bsm", h, self.p["f"]) + self.p["bf"] + t, 2)
        return jnp.einsum("bsm,bs->bm", t, jnp.asarray(keep / LENGTHS[:, None], jnp.float32))


def ours(params, x):
    return Encoder(params, 0)(x)


def fixed(params, x):
    return Encoder(params, PADDING + 1)(x)
