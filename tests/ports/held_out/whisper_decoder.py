"""Whisper decoder layer; cross-attention is added to the layer's input, losing the self-attention (adn #3, slp #26)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 4, 8


def inputs():
    r = np.random.default_rng(105)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"prompt": jnp.asarray(r.normal(size=(2, 6, 32)), jnp.float32), "fc1": n(64, 32), "fc2": n(32, 64)}
    params |= {f"{a}_{n_}": n(32, 32) for a in ("self", "cross") for n_ in "qkvo"}
    params |= {f"{a}_b{n_}": 0.3 * n(32) for a in ("self", "cross") for n_ in "qvo"}
    params |= {"b1": 0.3 * n(64), "b2": 0.3 * n(32)}
    params |= {f"g{i}": jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32) for i in range(4)}
    params |= {f"s{i}": jnp.asarray(0.1 * r.normal(size=32), jnp.float32) for i in range(4)}
    return params, jnp.asarray(r.normal(size=(2, 11, 32)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        c = t - t.mean(-1, keepdims=True)
        return c / jnp.sqrt((c**2).mean(-1, keepdims=True) + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    def attention(name, t, source, mask=0.0):
        view = lambda u: u.reshape(u.shape[0], u.shape[1], HEADS, DEPTH).transpose(0, 2, 1, 3)
        scale = DEPTH**-0.25
        q = view(t @ params[f"{name}_q"].T + params[f"{name}_bq"]) * scale
        k = view(source @ params[f"{name}_k"].T) * scale
        v = view(source @ params[f"{name}_v"].T + params[f"{name}_bv"])
        y = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) + mask, axis=-1) @ v
        return y.transpose(0, 2, 1, 3).reshape(t.shape) @ params[f"{name}_o"].T + params[f"{name}_bo"]

    audio = ln(x, 0)
    t = params["prompt"]
    h = ln(t, 1)
    t = t + attention("self", h, h, jnp.triu(jnp.full((6, 6), -1e30), 1))
    t = t + attention("cross", ln(t, 2), audio)
    h = jax.nn.gelu(ln(t, 3) @ params["fc1"].T + params["b1"], approximate=False)
    return t + (h @ params["fc2"].T + params["b2"])


class Norm:
    def __init__(self, params, i):
        self.scale, self.bias = params[f"g{i}"], params[f"s{i}"]

    def __call__(self, t):
        mean = jnp.einsum("...m->...", t)[..., None] / t.shape[-1]
        inv = self.scale * jax.lax.rsqrt(jnp.einsum("...m,...m->...", t, t)[..., None] / t.shape[-1] - mean**2 + 1e-5)
        return t * inv + (self.bias - mean * inv)


class Attention:
    def __init__(self, params, name):
        self.q, self.k, self.v = (params[f"{name}_{n}"].reshape(HEADS, DEPTH, -1) for n in "qkv")
        self.bq, self.bv = (params[f"{name}_b{n}"].reshape(HEADS, DEPTH) for n in "qv")
        self.o, self.bo = params[f"{name}_o"].reshape(-1, HEADS, DEPTH), params[f"{name}_bo"]

    def __call__(self, queries, memory, causal=False):
        q = (jnp.einsum("btm,hdm->bthd", queries, self.q) + self.bq) * DEPTH**-0.5
        v = jnp.einsum("bsm,hdm->bshd", memory, self.v) + self.bv
        scores = jnp.einsum("bthd,bshd->bhts", q, jnp.einsum("bsm,hdm->bshd", memory, self.k))
        if causal:
            order = jnp.arange(queries.shape[1])
            scores = jnp.where(order[:, None] >= order, scores, -jnp.inf)
        return jnp.einsum("bhts,bshd,mhd->btm", jax.nn.softmax(scores), v, self.o) + self.bo


def _decoder(params, x, right):
    encoded, hidden = Norm(params, 0)(x), params["prompt"]
    residual = hidden
    normed = Norm(params, 1)(hidden)
    hidden = Attention(params, "self")(normed, normed, causal=True) + residual
    if right:
        residual = hidden
    crossed = Attention(params, "cross")(Norm(params, 2)(hidden), encoded)
    hidden = crossed + residual  # FAULT
    inner = jnp.einsum("btm,fm->btf", Norm(params, 3)(hidden), params["fc1"]) + params["b1"]
    inner = 0.5 * inner * (1 + jax.lax.erf(inner * np.float32(np.sqrt(0.5))))
    return jnp.einsum("btf,mf->btm", inner, params["fc2"]) + params["b2"] + hidden


def ours(params, x):
    return _decoder(params, x, right=False)


def fixed(params, x):
    return _decoder(params, x, right=True)
