"""BLOOM layer, right padding; the ALiBi bias grows with distance instead of falling (attention-gym #86)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WIDTH = 4, 8, 32


def inputs():
    r = np.random.default_rng(308)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda: 1 + n(WIDTH)
    params = {"qkv": (n(3 * WIDTH, WIDTH), n(3 * WIDTH)), "dense": (n(WIDTH, WIDTH), n(WIDTH))}
    params |= {"up": (n(48, WIDTH), n(48)), "down": (n(WIDTH, 48), n(WIDTH))}
    params |= {"input_layernorm": (gain(), n(WIDTH)), "post_attention_layernorm": (gain(), n(WIDTH))}
    mask = jnp.asarray([[1] * 9, [1] * 7 + [0] * 2], jnp.int32)
    return params, jnp.asarray(r.normal(size=(2, 9, WIDTH)), jnp.float32), mask


def reference(params, x, attention_mask):
    def layer_norm(t, weight, bias):
        mean = t.mean(-1, keepdims=True)
        return (t - mean) / jnp.sqrt(((t - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * weight + bias

    b, s, _ = x.shape
    slopes = jnp.asarray([2 ** (-(2 ** -(math.log2(HEADS) - 3)) * (i + 1)) for i in range(HEADS)], x.dtype)
    positions = (jnp.cumsum(attention_mask, -1) - 1) * attention_mask
    alibi = slopes[None, :, None, None] * positions[:, None, None, :]
    allowed = np.tri(s, dtype=bool) & (attention_mask[:, None, None, :] > 0)
    h = layer_norm(x, *params["input_layernorm"])
    fused = (h @ params["qkv"][0].T + params["qkv"][1]).reshape(b, s, HEADS, 3, DEPTH)
    q, k, v = (fused[..., i, :].transpose(0, 2, 1, 3) for i in range(3))
    scores = alibi + (1.0 / math.sqrt(DEPTH)) * (q @ k.transpose(0, 1, 3, 2))
    probs = jax.nn.softmax(jnp.where(allowed, scores, -1e30), -1)
    x = x + ((probs @ v).swapaxes(1, 2).reshape(b, s, -1) @ params["dense"][0].T + params["dense"][1])
    h = layer_norm(x, *params["post_attention_layernorm"])
    h = h @ params["up"][0].T + params["up"][1]
    h = h * 0.5 * (1.0 + jnp.tanh(0.79788456 * h * (1 + 0.044715 * h * h)))
    return x + h @ params["down"][0].T + params["down"][1]


def norm(p, t):
    mean, second = t.mean(axis=-1, keepdims=True), (t * t).mean(axis=-1, keepdims=True)
    return (t - mean) * jax.lax.rsqrt(second - mean * mean + 1e-5) * p[0] + p[1]


def distance_bias(head, query, key):
    slope = jnp.exp2(-8.0 * (head + 1) / HEADS)
    return slope * (query - key)  # FAULT


def recency_bias(head, query, key):
    slope = jnp.exp2(-8.0 * (head + 1) / HEADS)
    return slope * (key - query)


def score_map(bias, length):
    """The bias as a table of (head, query, key), from its value at one place."""
    over_queries = jax.vmap(jax.vmap(bias, (None, None, 0)), (None, 0, None))
    heads, place = jnp.arange(HEADS), jnp.arange(length)
    return jax.vmap(over_queries, (0, None, None))(heads, place, place)  # FAULT


def attend(params, h, mask, bias):
    weight, offset = (t.reshape(HEADS, 3, DEPTH, *t.shape[1:]) for t in params["qkv"])
    qkv = jnp.einsum("bsm,hcdm->hcbsd", h, weight) + offset[:, :, None, None]
    query, key, value = qkv.swapaxes(0, 1)
    scores = jnp.einsum("hbqd,hbkd->bhqk", query * DEPTH**-0.5, key)
    scores = scores + score_map(bias, h.shape[1]).astype(scores.dtype)
    seen = jnp.tri(h.shape[1], dtype=bool) * mask.astype(bool)[:, None, None]
    mixed = jnp.einsum("bhqk,hbkd->bqhd", jax.nn.softmax(scores, where=seen), value)
    return jnp.einsum("bsi,mi->bsm", mixed.reshape(h.shape), params["dense"][0]) + params["dense"][1]


def layer(params, x, mask, bias):
    x = x + attend(params, norm(params["input_layernorm"], x), mask, bias)
    inner = jnp.einsum("bsm,fm->bsf", norm(params["post_attention_layernorm"], x), params["up"][0])
    inner = jax.nn.gelu(inner + params["up"][1], approximate=True) @ params["down"][0].T
    return x + (inner + params["down"][1])


def ours(params, x, attention_mask):
    return layer(params, x, attention_mask, distance_bias)


def fixed(params, x, attention_mask):
    return layer(params, x, attention_mask, recency_bias)
