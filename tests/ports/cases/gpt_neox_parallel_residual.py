"""GPT-NeoX layers without parallel residual; the port always has it parallel (mlx-lm #586)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH = 4, 9


def inputs():
    r = np.random.default_rng(106)
    n = lambda *s: jnp.asarray(1.2 * r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"qkv": n(2, 108, 36), "out": n(2, 36, 36), "up": n(2, 60, 36), "down": n(2, 36, 60)}
    params["up_b"] = 0.3 * n(2, 60)
    params |= {f"g{i}": jnp.asarray(1 + 0.1 * r.normal(size=(2, 36)), jnp.float32) for i in (1, 2)}
    params |= {f"b{i}": jnp.asarray(0.1 * r.normal(size=(2, 36)), jnp.float32) for i in (1, 2)}
    return params, jnp.asarray(r.normal(size=(2, 7, 36)), jnp.float32)


def reference(params, x):
    def ln(t, g, b):
        d = t - t.mean(-1, keepdims=True)
        return d / jnp.sqrt((d**2).mean(-1, keepdims=True) + 1e-5) * g + b

    b, s, e = x.shape
    for i in range(2):
        h = ln(x, params["g1"][i], params["b1"][i])
        qkv = (h @ params["qkv"][i].T).reshape(b, s, HEADS, 3 * DEPTH).transpose(0, 2, 1, 3)
        q, k, v = jnp.split(qkv, 3, axis=-1)
        att = q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5
        att = jnp.where(jnp.tril(jnp.ones((s, s), bool)), att, -jnp.inf)
        y = (jax.nn.softmax(att, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, e)
        x = x + y @ params["out"][i].T
        h = ln(x, params["g2"][i], params["b2"][i])
        z = jax.nn.gelu(h @ params["up"][i].T + params["up_b"][i], approximate=False)
        x = x + z @ params["down"][i].T
    return x


class Norm(nnx.Module):
    def __init__(self, scale, bias):
        self.scale, self.bias = nnx.Param(scale), nnx.Param(bias)

    def __call__(self, x):
        mean = jnp.einsum("...m->...", x) / x.shape[-1]
        var = jnp.var(x, axis=-1)
        factor = self.scale[...] * jax.lax.rsqrt(var + 1e-5)[..., None]
        return x * factor + (self.bias[...] - mean[..., None] * factor)


class Layer(nnx.Module):
    def __init__(self, params, i, parallel):
        self.norm1 = Norm(params["g1"][i], params["b1"][i])
        self.norm2 = Norm(params["g2"][i], params["b2"][i])
        self.qkv = nnx.Param(params["qkv"][i].reshape(HEADS, 3, DEPTH, -1))
        self.out = nnx.Param(params["out"][i].T.reshape(HEADS, DEPTH, -1))
        self.up, self.up_b = nnx.Param(params["up"][i].T), nnx.Param(params["up_b"][i])
        self.down = nnx.Param(params["down"][i].T)
        self.parallel = parallel

    def attention(self, h):
        q, k, v = jnp.einsum("bsm,hcdm->cbshd", h, self.qkv[...])
        scores = jnp.einsum("bqhd,bkhd->bhqk", q * DEPTH**-0.5, k)
        past = jnp.arange(h.shape[1])[:, None] >= jnp.arange(h.shape[1])
        scores = jnp.where(past, scores, -1e9)
        weights = jnp.exp(scores - scores.max(-1, keepdims=True))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v) / weights.sum(-1).swapaxes(1, 2)[..., None]
        return jnp.einsum("bqhd,hdm->bqm", mixed, self.out[...])

    def mlp(self, h):
        z = jnp.dot(h, self.up[...]) + self.up_b[...]
        z = z * (0.5 + 0.5 * jax.scipy.special.erf(z * 0.5**0.5))
        return jnp.dot(z, self.down[...])

    def __call__(self, x):
        middle = x + self.attention(self.norm1(x))
        source = x if self.parallel else middle  # FAULT
        return self.mlp(self.norm2(source)) + middle


def _stack(params, x, parallel):
    for i in range(2):
        x = Layer(params, i, parallel)(x)
    return x


def ours(params, x):
    return _stack(params, x, parallel=True)  # FAULT


def fixed(params, x):
    return _stack(params, x, parallel=False)
