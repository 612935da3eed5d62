"""Gemma 2 block; queries are scaled by hidden size over heads (9B's old 224) instead of 256 (llama.cpp #8444)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, HEADS, DEPTH, CAP = 48, 4, 16, 50.0


class Config(NamedTuple):
    query_pre_attn_scalar: int = WIDTH // HEADS  # FAULT
    eps: float = 1e-6


def inputs():
    r = np.random.default_rng(62)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": 3 * n(64, WIDTH), "k": 3 * n(64, WIDTH), "v": n(64, WIDTH), "o": n(WIDTH, 64)}
    params |= {f"n{i}": jnp.asarray(0.2 * r.normal(size=WIDTH), jnp.float32) for i in range(4)}
    params |= {"gate": n(64, WIDTH), "up": n(64, WIDTH), "down": n(WIDTH, 64)}
    return params, jnp.asarray(r.normal(size=(2, 10, WIDTH)), jnp.float32)


def reference(params, x):
    def norm(h, i):
        return h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-6) * (1.0 + params[f"n{i}"])

    def rotate(t):
        inv = 1.0 / 10000.0 ** (jnp.arange(0, DEPTH, 2, dtype=jnp.float32) / DEPTH)
        emb = jnp.tile(jnp.outer(jnp.arange(t.shape[2]), inv), 2)
        half = jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
        return t * jnp.cos(emb) + half * jnp.sin(emb)

    b, s, _ = x.shape
    h = norm(x, 0)
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).swapaxes(1, 2) for n in "qkv")
    scores = rotate(q) @ rotate(k).swapaxes(2, 3) * 16.0**-0.5
    scores = jnp.tanh(scores / CAP) * CAP
    scores = scores + jnp.where(jnp.tril(jnp.ones((s, s))) == 0, -1e30, 0.0)
    y = (jax.nn.softmax(scores, axis=-1) @ v).swapaxes(1, 2).reshape(b, s, -1)
    x = x + norm(y @ params["o"].T, 1)
    h = norm(x, 2)
    h = jax.nn.gelu(h @ params["gate"].T, approximate=True) * (h @ params["up"].T)
    return x + norm(h @ params["down"].T, 3)


class ZeroCenteredNorm:
    def __init__(self, weight, eps):
        self.weight, self.eps = weight, eps

    def __call__(self, t):
        t = t / jnp.sqrt(jnp.einsum("bsm,bsm->bs", t, t)[..., None] / WIDTH + self.eps)
        return t + t * self.weight


def rope(t):
    angle = np.arange(t.shape[1])[:, None, None] * 10000.0 ** (-2.0 * np.arange(DEPTH // 2) / DEPTH)
    c, s = (jnp.asarray(f(angle), jnp.float32) for f in (np.cos, np.sin))
    a, b = jnp.split(t, 2, -1)
    return jnp.concatenate([a * c - b * s, b * c + a * s], -1)


def attend(params, x, config):
    fused = jnp.stack([params[n].reshape(HEADS, DEPTH, WIDTH) for n in "qkv"])
    qkv = jnp.einsum("bsm,thdm->tbshd", x, fused)
    query = rope(qkv[0]) * config.query_pre_attn_scalar**-0.5  # FAULT
    scores = jnp.einsum("bqhd,bkhd->bqkh", query, rope(qkv[1]))
    scores = CAP * jnp.tanh(scores * (1 / CAP))
    scores = jnp.where(np.tri(x.shape[1], dtype=bool)[..., None], scores, -jnp.inf)
    mixed = jnp.einsum("bqkh,bkhd->bqhd", jax.nn.softmax(scores, axis=2), qkv[2])
    return jnp.einsum("bqhd,mhd->bqm", mixed, params["o"].reshape(WIDTH, HEADS, DEPTH))


def _block(params, x, config):
    norms = [ZeroCenteredNorm(params[f"n{i}"], config.eps) for i in range(4)]
    x = norms[1](attend(params, norms[0](x), config)) + x
    h = norms[2](x)
    gate, up = (jnp.einsum("bsm,fm->bsf", h, params[n]) for n in ("gate", "up"))
    act = 0.5 * gate * (1 + jnp.tanh(0.7978845608 * gate * (1 + 0.044715 * gate * gate)))
    return norms[3](jnp.einsum("bsf,mf->bsm", act * up, params["down"])) + x


def ours(params, x):
    return _block(params, x, Config())


def fixed(params, x):
    return _block(params, x, Config(query_pre_attn_scalar=16))
