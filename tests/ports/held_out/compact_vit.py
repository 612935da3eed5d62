"""Compact vision transformer; the feed-forward's skip starts after its norm, not before (Compact-Transformers #25)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH, PATCH = 2, 16, 4


def inputs():
    r = np.random.default_rng(65)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"patch": n(32, 48), "pos": n(9, 32), "pool": 3 * n(1, 32), "head": n(10, 32), "bhead": 0.3 * n(10)}
    for i in range(2):
        params |= {f"qkv{i}": n(96, 32), f"o{i}": n(32, 32), f"bo{i}": 0.2 * n(32), f"fc1{i}": n(64, 32)}
        params |= {f"fc2{i}": n(32, 64), f"b1{i}": 0.2 * n(64), f"b2{i}": 0.2 * n(32)}
    for i in range(5):
        params[f"g{i}"] = jnp.asarray(1 + 0.2 * r.normal(size=32), jnp.float32)
        params[f"s{i}"] = jnp.asarray(0.2 * r.normal(size=32), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 12, 12, 3)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        t = t - t.mean(-1, keepdims=True)
        return t / jnp.sqrt((t**2).mean(-1, keepdims=True) + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    b = x.shape[0]
    kernel = params["patch"].reshape(32, PATCH, PATCH, 3)
    x = jax.lax.conv_general_dilated(x, kernel, (PATCH, PATCH), "VALID", dimension_numbers=("NHWC", "OHWI", "NHWC"))
    x = x.reshape(b, -1, 32) + params["pos"]
    for i in range(2):
        q, k, v = jnp.split(ln(x, 2 * i) @ params[f"qkv{i}"].T, 3, -1)
        q, k, v = (t.reshape(b, -1, HEADS, DEPTH).transpose(0, 2, 1, 3) for t in (q, k, v))
        y = jax.nn.softmax(q @ k.swapaxes(2, 3) * DEPTH**-0.5, -1) @ v
        x = x + (y.transpose(0, 2, 1, 3).reshape(b, -1, 32) @ params[f"o{i}"].T + params[f"bo{i}"])
        h = jax.nn.gelu(ln(x, 2 * i + 1) @ params[f"fc1{i}"].T + params[f"b1{i}"], approximate=False)
        x = x + (h @ params[f"fc2{i}"].T + params[f"b2{i}"])
    x = ln(x, 4)
    weights = jax.nn.softmax(x @ params["pool"].T, axis=1).swapaxes(1, 2)
    return (weights @ x)[:, 0] @ params["head"].T + params["bhead"]


def standardise(t, gain, shift):
    scale = gain * jax.lax.rsqrt(jnp.var(t, -1, keepdims=True) + 1e-5)
    return t * scale - (t.mean(-1, keepdims=True) * scale - shift)


class EncoderLayer(nnx.Module):
    def __init__(self, params, i, right):
        at = lambda name, j=i: nnx.Param(params[f"{name}{j}"])
        self.qkv, self.o, self.bo = at("qkv"), at("o"), at("bo")
        self.fc1, self.fc2, self.b1, self.b2 = at("fc1"), at("fc2"), at("b1"), at("b2")
        self.g1, self.s1, self.g2, self.s2 = at("g", 2 * i), at("s", 2 * i), at("g", 2 * i + 1), at("s", 2 * i + 1)
        self.right = right

    def mix(self, x):
        q, k, v = jnp.einsum("bnm,thdm->tbnhd", x, self.qkv[...].reshape(3, HEADS, DEPTH, -1))
        scores = jnp.einsum("bqhd,bkhd->bhkq", q / 4.0, k)
        mixed = jnp.einsum("bhkq,bkhd->bqhd", jax.nn.softmax(scores, axis=2), v)
        return jnp.einsum("bqhd,mhd->bqm", mixed, self.o[...].reshape(-1, HEADS, DEPTH)) + self.bo[...]

    def __call__(self, x):
        x = self.mix(standardise(x, self.g1[...], self.s1[...])) + x
        normed = standardise(x, self.g2[...], self.s2[...])
        h = jnp.einsum("bnm,fm->bnf", normed, self.fc1[...]) + self.b1[...]
        h = h * 0.5 * jax.lax.erfc(-h / np.float32(np.sqrt(2)))
        branch = jnp.einsum("bnf,mf->bnm", h, self.fc2[...]) + self.b2[...]
        if self.right:
            return branch + x
        return branch + normed  # FAULT


def _classify(params, x, right):
    tiles = x.reshape(x.shape[0], 3, PATCH, 3, PATCH, 3).swapaxes(2, 3).reshape(x.shape[0], 9, -1)
    x = jnp.einsum("bnp,mp->bnm", tiles, params["patch"]) + params["pos"]
    for i in range(2):
        x = EncoderLayer(params, i, right)(x)
    x = standardise(x, params["g4"], params["s4"])
    pooled = jnp.einsum("bn,bnm->bm", jax.nn.softmax(jnp.einsum("bnm,m->bn", x, params["pool"][0])), x)
    return jnp.einsum("bm,cm->bc", pooled, params["head"]) + params["bhead"]


def ours(params, x):
    return _classify(params, x, right=False)


def fixed(params, x):
    return _classify(params, x, right=True)
