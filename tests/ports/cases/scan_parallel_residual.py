"""GPT-NeoX layers under one scan; always the parallel residual, though the checkpoint is sequential (ggml #139, mlx-lm #586)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HEADS, DEPTH, ROTARY = 2, 4, 8, 4


def inputs():
    r = np.random.default_rng(101)
    n = lambda *s: jnp.asarray(r.normal(size=(LAYERS, *s)) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda: jnp.asarray(1 + 0.2 * r.normal(size=(LAYERS, 32)), jnp.float32)
    params = {"qkv": n(96, 32), "qkv_b": n(96), "o": n(32, 32), "o_b": n(32), "up": n(64, 32), "up_b": n(64)}
    params |= {"down": n(32, 64), "down_b": n(32), "g1": gain(), "b1": n(32), "g2": gain(), "b2": n(32)}
    return params, jnp.asarray(r.normal(size=(2, 7, 32)), jnp.float32)


def reference(params, x):
    def layer_norm(t, g, b):
        mu = t.mean(-1, keepdims=True)
        return (t - mu) / jnp.sqrt(((t - mu) ** 2).mean(-1, keepdims=True) + 1e-5) * g + b

    def rotate(t):
        rot, rest = t[..., :ROTARY], t[..., ROTARY:]
        inv = 1.0 / (10000 ** (np.arange(0, ROTARY, 2) / ROTARY))
        emb = np.concatenate([np.outer(np.arange(t.shape[2]), inv)] * 2, -1).astype(np.float32)
        half = jnp.concatenate([-rot[..., ROTARY // 2 :], rot[..., : ROTARY // 2]], -1)
        return jnp.concatenate([rot * np.cos(emb) + half * np.sin(emb), rest], -1)

    b, s, e = x.shape
    for i in range(LAYERS):
        p = {k: v[i] for k, v in params.items()}
        qkv = layer_norm(x, p["g1"], p["b1"]) @ p["qkv"].T + p["qkv_b"]
        qkv = qkv.reshape(b, s, HEADS, 3 * DEPTH).transpose(0, 2, 1, 3)
        q, k, v = jnp.split(qkv, 3, axis=-1)
        att = rotate(q) @ rotate(k).transpose(0, 1, 3, 2) / np.sqrt(DEPTH)
        att = jax.nn.softmax(att + np.triu(np.full((s, s), -1e9, np.float32), 1), axis=-1)
        x = x + (att @ v).transpose(0, 2, 1, 3).reshape(b, s, e) @ p["o"].T + p["o_b"]
        h = jax.nn.gelu(layer_norm(x, p["g2"], p["b2"]) @ p["up"].T + p["up_b"], approximate=False)
        x = x + h @ p["down"].T + p["down_b"]
    return x


def normalise(t, scale, bias):
    second = jnp.mean(jnp.square(t), axis=-1, keepdims=True)
    first = jnp.mean(t, axis=-1, keepdims=True)
    mul = jax.lax.rsqrt(second - first * first + 1e-5) * scale
    return t * mul + (bias - first * mul)


def partial_rope(t, positions):
    timescale = jnp.exp(-jnp.log(10000.0) * jnp.arange(ROTARY // 2) * (2.0 / ROTARY))
    angle = positions[:, None, None] * timescale
    lo, hi, keep = t[..., : ROTARY // 2], t[..., ROTARY // 2 : ROTARY], t[..., ROTARY:]
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    return jnp.concatenate([cos * lo - sin * hi, sin * lo + cos * hi, keep], axis=-1)


def attend(w, h):
    fused = jnp.einsum("bsm,hcdm->cbshd", h, w["qkv"].reshape(HEADS, 3, DEPTH, -1))
    bias = w["qkv_b"].reshape(HEADS, 3, DEPTH).swapaxes(0, 1)
    query, key, value = fused + bias[:, None, None]
    where = jnp.arange(h.shape[1])
    query, key = partial_rope(query * DEPTH**-0.5, where), partial_rope(key, where)
    logits = jnp.einsum("bqhd,bkhd->bqhk", query, key)
    logits = jnp.where(where[:, None, None] >= where, logits, -jnp.inf)
    mixed = jnp.einsum("bqhk,bkhd->bqhd", jax.nn.softmax(logits), value)
    return jnp.einsum("bqhd,mhd->bqm", mixed, w["o"].reshape(-1, HEADS, DEPTH)) + w["o_b"]


def layer(carry, w, right):
    after = carry + attend(w, normalise(carry, w["g1"], w["b1"]))
    if right:
        normed = normalise(after, w["g2"], w["b2"])
    else:
        normed = normalise(carry, w["g2"], w["b2"])  # FAULT
    inner = jax.nn.gelu(jnp.einsum("bsm,fm->bsf", normed, w["up"]) + w["up_b"], approximate=False)  # FAULT
    return after + (jnp.einsum("bsf,mf->bsm", inner, w["down"]) + w["down_b"]), None


def ours(params, x):
    return jax.lax.scan(functools.partial(layer, right=False), x, params)[0]


def fixed(params, x):
    return jax.lax.scan(functools.partial(layer, right=True), x, params)[0]
