"""CLIP vision layer; GELU where OpenAI's weights want x * sigmoid(1.702 x) (pytorch-image-models #1754)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH = 5, 7


def inputs():
    r = np.random.default_rng(112)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    v = lambda s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"in_proj": n(105, 35), "in_bias": v(105), "out": n(35, 35), "out_bias": v(35)}
    params |= {"c_fc": n(62, 35), "c_fc_bias": v(62), "c_proj": n(35, 62), "c_proj_bias": v(35)}
    params["proj"] = n(35, 24)
    params |= {f"ln{i}_w": v(35, 1.0) for i in range(4)} | {f"ln{i}_b": v(35) for i in range(4)}
    return params, jnp.asarray(r.normal(size=(3, 8, 35)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        u = jnp.mean(t, -1, keepdims=True)
        s = jnp.sqrt(jnp.mean(jnp.square(t - u), -1, keepdims=True) + 1e-5)
        return (t - u) / s * params[f"ln{i}_w"] + params[f"ln{i}_b"]

    x = ln(x, 0)
    b, s, e = x.shape
    qkv = ln(x, 1) @ params["in_proj"].T + params["in_bias"]
    q, k, v = (t.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for t in jnp.split(qkv, 3, axis=-1))
    y = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, axis=-1) @ v
    x = x + y.transpose(0, 2, 1, 3).reshape(b, s, e) @ params["out"].T + params["out_bias"]
    h = ln(x, 2) @ params["c_fc"].T + params["c_fc_bias"]
    h = h * jax.nn.sigmoid(1.702 * h)
    x = x + h @ params["c_proj"].T + params["c_proj_bias"]
    return ln(x[:, 0], 3) @ params["proj"]


def quick_gelu(t):
    return t / (1 + jnp.exp(-1.702 * t))


class LayerNorm(nnx.Module):
    def __init__(self, params, i):
        self.scale, self.bias = nnx.Param(params[f"ln{i}_w"]), nnx.Param(params[f"ln{i}_b"])

    def __call__(self, t):
        inverse = self.scale[...] * jax.lax.rsqrt(jnp.var(t, axis=-1, keepdims=True) + 1e-5)
        return t * inverse + (self.bias[...] - t.mean(-1, keepdims=True) * inverse)


class Mlp(nnx.Module):
    def __init__(self, params, activation):
        self.up, self.up_bias = nnx.Param(params["c_fc"]), nnx.Param(params["c_fc_bias"])
        self.down, self.down_bias = nnx.Param(params["c_proj"]), nnx.Param(params["c_proj_bias"])
        self.activation = activation

    def __call__(self, t):
        hidden = jnp.einsum("fe,...e->...f", self.up[...], t) + self.up_bias[...]
        active = self.activation(hidden)  # FAULT
        return jnp.einsum("ef,...f->...e", self.down[...], active) + self.down_bias[...]


class Attention(nnx.Module):
    def __init__(self, params):
        self.kernel = nnx.Param(params["in_proj"].reshape(3, HEADS, DEPTH, -1))
        self.bias = nnx.Param(params["in_bias"].reshape(3, HEADS, 1, 1, DEPTH))
        self.out, self.out_bias = nnx.Param(params["out"]), nnx.Param(params["out_bias"])

    def __call__(self, t):
        query, key, value = jnp.einsum("bse,chde->chbsd", t, self.kernel[...]) + self.bias[...]
        scores = jnp.einsum("hbqd,hbkd->hbqk", query * DEPTH**-0.5, key)
        mixed = jnp.einsum("hbqk,hbkd->hbqd", jax.nn.softmax(scores), value)
        out = self.out[...].reshape(-1, HEADS, DEPTH)
        return jnp.einsum("hbqd,ehd->bqe", mixed, out) + self.out_bias[...]


def _encode(params, x, activation):
    x = LayerNorm(params, 0)(x)
    x = Attention(params)(LayerNorm(params, 1)(x)) + x
    x = Mlp(params, activation)(LayerNorm(params, 2)(x)) + x
    return jnp.einsum("ep,be->bp", params["proj"], LayerNorm(params, 3)(x)[:, 0])


def ours(params, x):
    return _encode(params, x, activation=partial(jax.nn.gelu, approximate=False))  # FAULT


def fixed(params, x):
    return _encode(params, x, activation=quick_gelu)
