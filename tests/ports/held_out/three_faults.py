"""Gemma-like block, three faults: the norm's one, the softmax scale, exact GELU (transformers #29402)."""

import jax
import jax.numpy as jnp
import numpy as np

ONLY_ONE = False
HEADS, DEPTH, WIDTH = 3, 14, 34
ALL = frozenset({1, 2, 3})


def inputs():
    r = np.random.default_rng(118)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    wide = HEADS * DEPTH
    params = {"q": 2 * n(wide, WIDTH), "k": 2 * n(wide, WIDTH), "v": n(wide, WIDTH), "o": n(WIDTH, wide)}
    params |= {"gate": 2 * n(46, WIDTH), "up": n(46, WIDTH), "down": n(WIDTH, 46)}
    params |= {k: jnp.asarray(0.2 * r.normal(size=WIDTH) - 0.1, jnp.float32) for k in ("n1", "n2")}
    return params, jnp.asarray(r.normal(size=(2, 9, WIDTH)), jnp.float32)


def reference(params, x):
    def norm(t, w):
        return t / jnp.sqrt((t**2).mean(-1, keepdims=True) + 1e-6) * (1 + w)

    b, s, _ = x.shape
    h = norm(x, params["n1"])
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    scores = q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5
    scores = jnp.where(jnp.tril(jnp.ones((s, s), bool)), scores, -1e30)
    y = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    x = x + y @ params["o"].T
    h = norm(x, params["n2"])
    gate = h @ params["gate"].T
    gate = 0.5 * gate * (1 + jnp.tanh(0.7978845608028654 * (gate + 0.044715 * gate**3)))
    return x + (gate * (h @ params["up"].T)) @ params["down"].T


class Block:
    def __init__(self, params, faults):
        self.p, self.faults = params, faults

    def norm(self, t, weight):
        size = jnp.einsum("btm,btm->bt", t, t)[..., None] / WIDTH + 1e-6
        gain = weight + (0.0 if 1 in self.faults else 1.0)  # FAULT 1
        return jax.lax.rsqrt(size) * gain * t

    def attention(self, t):
        kernels = jnp.stack([self.p[n].reshape(HEADS, DEPTH, WIDTH) for n in "qkv"])
        query, key, value = jnp.einsum("btm,nhdm->nbthd", t, kernels)
        scale = (WIDTH if 2 in self.faults else DEPTH) ** -0.5  # FAULT 2
        scores = jnp.einsum("bthd,bshd->bths", query * scale, key)
        ahead = jnp.arange(t.shape[1]) > jnp.arange(t.shape[1])[:, None]
        weights = jnp.where(ahead[:, None], 0, jnp.exp(scores))
        mixed = jnp.einsum("bths,bshd->bthd", weights, value) / weights.sum(-1)[..., None]
        return jnp.einsum("bthd,mhd->btm", mixed, self.p["o"].reshape(WIDTH, HEADS, DEPTH))

    def feed_forward(self, t):
        gate, up = jnp.einsum("btm,nfm->nbtf", t, jnp.stack([self.p["gate"], self.p["up"]]))
        gate = jax.nn.gelu(gate, approximate=3 not in self.faults)  # FAULT 3
        return jnp.einsum("btf,mf->btm", up * gate, self.p["down"])

    def __call__(self, x):
        x = self.attention(self.norm(x, self.p["n1"])) + x
        return self.feed_forward(self.norm(x, self.p["n2"])) + x


def ours_without(params, x, fixed_faults: frozenset[int]):
    return Block(params, ALL - fixed_faults)(x)


def ours(params, x):
    return ours_without(params, x, frozenset())


def fixed(params, x):
    return ours_without(params, x, ALL)
