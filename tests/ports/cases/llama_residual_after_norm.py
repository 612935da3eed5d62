"""Llama block; attention's residual is the normed stream, not the stream (Compact-Transformers #25)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH, WIDTH = 4, 8, 32


def inputs():
    r = np.random.default_rng(301)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda: jnp.asarray(1 + 0.3 * r.normal(size=WIDTH), jnp.float32)
    params = {k: n(WIDTH, WIDTH) for k in ("q_proj", "k_proj", "v_proj", "o_proj")}
    params |= {"gate_proj": n(48, WIDTH), "up_proj": n(48, WIDTH), "down_proj": n(WIDTH, 48)}
    params |= {"input_layernorm": gain(), "post_attention_layernorm": gain()}
    return params, jnp.asarray(1.7 * r.normal(size=(2, 9, WIDTH)), jnp.float32)


def reference(params, hidden_states):
    def rms_norm(t, weight):
        return weight * (t * (1 / jnp.sqrt(jnp.mean(t**2, -1, keepdims=True) + 1e-6)))

    b, s, _ = hidden_states.shape
    inv_freq = 1.0 / (10000.0 ** (np.arange(0, DEPTH, 2) / DEPTH))
    emb = np.concatenate([np.outer(np.arange(s), inv_freq)] * 2, -1)
    cos, sin = np.cos(emb).astype(np.float32), np.sin(emb).astype(np.float32)
    rotate_half = lambda t: jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
    h = rms_norm(hidden_states, params["input_layernorm"])
    q, k, v = ((h @ params[f"{i}_proj"].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for i in "qkv")
    q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
    scores = q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5
    scores = scores + np.triu(np.full((s, s), -1e9, np.float32), 1)
    out = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, WIDTH)
    hidden_states = hidden_states + out @ params["o_proj"].T
    h = rms_norm(hidden_states, params["post_attention_layernorm"])
    h = (jax.nn.silu(h @ params["gate_proj"].T) * (h @ params["up_proj"].T)) @ params["down_proj"].T
    return hidden_states + h


class Block(nnx.Module):
    def __init__(self, params):
        split = lambda w: nnx.Param(w.reshape(HEADS, DEPTH, WIDTH))
        self.query, self.key, self.value = (split(params[i + "_proj"]) for i in "qkv")
        self.out = nnx.Param(params["o_proj"].T.reshape(HEADS, DEPTH, WIDTH))
        self.wide = nnx.Param(jnp.stack([params["gate_proj"].T, params["up_proj"].T]))
        self.narrow = nnx.Param(params["down_proj"].T)
        self.scale1 = nnx.Param(params["input_layernorm"])
        self.scale2 = nnx.Param(params["post_attention_layernorm"])

    def norm(self, t, scale):
        return t * jax.lax.rsqrt(jnp.square(t).mean(axis=-1, keepdims=True) + 1e-6) * scale[...]

    def rope(self, t):
        angle = np.outer(np.arange(t.shape[1]), np.power(1e4, -np.arange(0, 1, 2 / DEPTH)))
        sin, cos = (jnp.asarray(f(angle), t.dtype)[:, None, :] for f in (np.sin, np.cos))
        lo, hi = jnp.split(t, 2, axis=-1)
        return jnp.concatenate([lo * cos - hi * sin, hi * cos + lo * sin], axis=-1)

    def attention(self, normed):
        project = lambda w: jnp.einsum("bsm,hdm->bshd", normed, w[...])
        query, key, value = project(self.query), project(self.key), project(self.value)
        scores = jnp.einsum("bqhd,bkhd->bhqk", self.rope(query) * DEPTH**-0.5, self.rope(key))
        weights = jax.nn.softmax(scores, axis=-1, where=jnp.tri(normed.shape[1], dtype=bool))
        return jnp.einsum("bhqk,bkhd,hdm->bqm", weights, value, self.out[...])

    def mix(self, stream):
        normed = self.norm(stream, self.scale1)
        return normed + self.attention(normed)  # FAULT

    def __call__(self, stream):
        stream = self.mix(stream)
        gate, up = jnp.einsum("bsm,cmf->cbsf", self.norm(stream, self.scale2), self.wide[...])
        return jnp.einsum("bsf,fm->bsm", gate * jax.nn.sigmoid(gate) * up, self.narrow[...]) + stream


class StreamBlock(Block):
    def mix(self, stream):
        normed = self.norm(stream, self.scale1)
        return stream + self.attention(normed)


def ours(params, hidden_states):
    return Block(params)(hidden_states)


def fixed(params, hidden_states):
    return StreamBlock(params)(hidden_states)
