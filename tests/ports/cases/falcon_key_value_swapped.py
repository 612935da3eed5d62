"""Falcon-7B layer; the last two heads of the fused projection are read as value, key (tt-mlir #8958)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH, WIDTH = 4, 8, 32


def inputs():
    r = np.random.default_rng(307)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"query_key_value": n((HEADS + 2) * DEPTH, WIDTH), "dense": n(WIDTH, WIDTH)}
    params |= {"dense_h_to_4h": n(48, WIDTH), "dense_4h_to_h": n(WIDTH, 48), "ln_bias": n(WIDTH)}
    params["ln_weight"] = jnp.asarray(1 + 0.2 * r.normal(size=WIDTH), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 9, WIDTH)), jnp.float32)


def reference(params, hidden_states):
    def rotary(t):
        freqs = np.outer(np.arange(t.shape[-2]), 1.0 / 10000.0 ** (np.arange(0, DEPTH, 2) / DEPTH))
        emb = np.concatenate([freqs, freqs], -1)
        half = jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
        return t * np.cos(emb).astype(np.float32) + half * np.sin(emb).astype(np.float32)

    b, s, _ = hidden_states.shape
    mean = hidden_states.mean(-1, keepdims=True)
    var = ((hidden_states - mean) ** 2).mean(-1, keepdims=True)
    h = (hidden_states - mean) / jnp.sqrt(var + 1e-5) * params["ln_weight"] + params["ln_bias"]
    fused = (h @ params["query_key_value"].T).reshape(b, s, HEADS + 2, DEPTH).transpose(0, 2, 1, 3)
    q, k, v = rotary(fused[:, :-2]), rotary(fused[:, [-2]]), fused[:, [-1]]
    scores = q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5 + np.triu(np.full((s, s), -1e9, np.float32), 1)
    out = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(b, s, WIDTH)
    mlp = jax.nn.gelu(h @ params["dense_h_to_4h"].T, approximate=False) @ params["dense_4h_to_h"].T
    return hidden_states + (out @ params["dense"].T + mlp)


class Layer(nnx.Module):
    def __init__(self, params):
        self.fused, self.dense = nnx.Param(params["query_key_value"].T), nnx.Param(params["dense"].T)
        self.up, self.down = nnx.Param(params["dense_h_to_4h"].T), nnx.Param(params["dense_4h_to_h"].T)
        self.scale, self.shift = nnx.Param(params["ln_weight"]), nnx.Param(params["ln_bias"])

    def normalise(self, t):
        deviation = t - t.mean(axis=-1, keepdims=True)
        return deviation / jnp.sqrt(t.var(axis=-1, keepdims=True) + 1e-5) * self.scale[...] + self.shift[...]

    def rotate(self, t):
        """Turns (batch, tokens, ..., depth)."""
        angle = np.arange(t.shape[1])[:, None] * np.exp(-np.arange(DEPTH // 2) / (DEPTH // 2) * np.log(1e4))
        angle = angle.reshape(t.shape[1], *[1] * (t.ndim - 3), DEPTH // 2)
        cos, sin = jnp.asarray(np.cos(angle), t.dtype), jnp.asarray(np.sin(angle), t.dtype)
        real, imaginary = t[..., : DEPTH // 2], t[..., DEPTH // 2 :]
        return jnp.concatenate([real * cos - imaginary * sin, real * sin + imaginary * cos], axis=-1)

    def shared(self, flat):
        value = flat[..., HEADS * DEPTH : (HEADS + 1) * DEPTH]  # FAULT
        key = flat[..., (HEADS + 1) * DEPTH :]  # FAULT
        return key, value

    def attend(self, normed):
        flat = jnp.einsum("bsm,mf->bsf", normed, self.fused[...])
        query = flat[..., : HEADS * DEPTH].reshape(*flat.shape[:2], HEADS, DEPTH)
        key, value = self.shared(flat)
        scores = jnp.einsum("bqhd,bkd->bqhk", self.rotate(query), self.rotate(key)) * DEPTH**-0.5
        seen = jnp.tri(flat.shape[1], dtype=bool)[:, None, :]
        weights = nnx.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        return jnp.einsum("bqhk,bkd->bqhd", weights, value).reshape(normed.shape) @ self.dense[...]

    def __call__(self, stream):
        normed = self.normalise(stream)
        inner = normed @ self.up[...]
        inner = 0.5 * inner * (1 + jax.scipy.special.erf(inner / 2**0.5))
        return inner @ self.down[...] + self.attend(normed) + stream


class OrderedLayer(Layer):
    def shared(self, flat):
        key = flat[..., HEADS * DEPTH : (HEADS + 1) * DEPTH]
        value = flat[..., (HEADS + 1) * DEPTH :]
        return key, value


def ours(params, hidden_states):
    return Layer(params)(hidden_states)


def fixed(params, hidden_states):
    return OrderedLayer(params)(hidden_states)
