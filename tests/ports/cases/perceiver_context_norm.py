"""Perceiver encoder; the inputs go through the latents' norm before keys and values (cf. mmdit #4)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH, WIDTH, LATENTS = 4, 6, 24, 5


def inputs():
    r = np.random.default_rng(312)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    norm = lambda: (1 + 2 * n(WIDTH), n(WIDTH))
    params = {k: (n(WIDTH, WIDTH), n(WIDTH)) for k in ("query", "key", "value", "output")}
    params |= {k: norm() for k in ("layernorm1", "layernorm2", "mlp_norm")}
    params |= {"fc1": (n(40, WIDTH), n(40)), "fc2": (n(WIDTH, 40), n(WIDTH))}
    params["latents"] = 4 * n(LATENTS, WIDTH)
    return params, jnp.asarray(r.normal(size=(2, 11, WIDTH)), jnp.float32)


def reference(params, x):
    def layer_norm(t, weight, bias):
        mean = t.mean(-1, keepdims=True)
        return (t - mean) / jnp.sqrt(((t - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * weight + bias

    linear = lambda t, weight, bias: t @ weight.T + bias
    split = lambda t: t.reshape(*t.shape[:2], HEADS, DEPTH).transpose(0, 2, 1, 3)
    hidden = jnp.broadcast_to(params["latents"], (x.shape[0], LATENTS, WIDTH))
    queries, context = layer_norm(hidden, *params["layernorm1"]), layer_norm(x, *params["layernorm2"])
    q = split(linear(queries, *params["query"]))
    k, v = split(linear(context, *params["key"])), split(linear(context, *params["value"]))
    probs = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, axis=-1)
    hidden = hidden + linear((probs @ v).transpose(0, 2, 1, 3).reshape(hidden.shape), *params["output"])
    h = linear(layer_norm(hidden, *params["mlp_norm"]), *params["fc1"])
    return hidden + linear(jax.nn.gelu(h, approximate=False), *params["fc2"])


class Norm(nnx.Module):
    def __init__(self, weight, bias):
        self.scale, self.shift = nnx.Param(weight), nnx.Param(bias)

    def __call__(self, t):
        inverse = jax.lax.rsqrt(jnp.var(t, axis=-1, keepdims=True) + 1e-5)
        return (t - jnp.mean(t, axis=-1, keepdims=True)) * inverse * self.scale[...] + self.shift[...]


class Dense(nnx.Module):
    def __init__(self, weight, bias):
        self.kernel, self.bias = nnx.Param(weight.T), nnx.Param(bias)

    def __call__(self, t):
        return jnp.tensordot(t, self.kernel[...], axes=1) + self.bias[...]


class Layer(nnx.Module):
    def __init__(self, p):
        self.query, self.key, self.value = Dense(*p["query"]), Dense(*p["key"]), Dense(*p["value"])
        self.output, self.wide, self.narrow = Dense(*p["output"]), Dense(*p["fc1"]), Dense(*p["fc2"])
        self.norm_latents, self.norm_inputs = Norm(*p["layernorm1"]), Norm(*p["layernorm2"])
        self.norm_mlp, self.start = Norm(*p["mlp_norm"]), nnx.Param(p["latents"])

    def normed_inputs(self, t):
        return self.norm_latents(t)  # FAULT

    def attend(self, query, key, value):
        query, key, value = (t.reshape(*t.shape[:-1], HEADS, DEPTH) for t in (query, key, value))
        weights = nnx.softmax(jnp.einsum("bqhd,bkhd->bqkh", query * DEPTH**-0.5, key), axis=2)
        return jnp.einsum("bqkh,bkhd->bqhd", weights, value).reshape(*query.shape[:2], WIDTH)

    def __call__(self, x):
        latents = jnp.repeat(self.start[...][None], len(x), axis=0)
        context = self.normed_inputs(x)  # FAULT
        query = self.query(self.norm_latents(latents))
        latents = latents + self.output(self.attend(query, self.key(context), self.value(context)))
        wide = self.wide(self.norm_mlp(latents))
        return latents + self.narrow(nnx.gelu(wide, approximate=False))


class TwoNormLayer(Layer):
    def normed_inputs(self, t):
        return self.norm_inputs(t)


def ours(params, x):
    return Layer(params)(x)


def fixed(params, x):
    return TwoNormLayer(params)(x)
