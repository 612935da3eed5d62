"""XLM-RoBERTa classifier; the head's activation is the layers' GELU where it should be tanh (candle #2967, #2968)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 4, 8


def inputs():
    r = np.random.default_rng(103)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"pos": n(10, 32), "q": n(32, 32), "k": n(32, 32), "v": n(32, 32), "o": n(32, 32)}
    params |= {"i": n(64, 32), "f": n(32, 64), "dense": n(32, 32), "out": n(3, 32)}
    params |= {"b_out": 0.3 * n(3), "b_i": 0.3 * n(64)}
    params |= {f"b_{k}": 0.3 * n(32) for k in ("q", "k", "v", "o", "f", "dense")}
    params |= {f"g{i}": jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32) for i in range(3)}
    params |= {f"s{i}": jnp.asarray(0.1 * r.normal(size=32), jnp.float32) for i in range(3)}
    return params, jnp.asarray(r.normal(size=(2, 8, 32)), jnp.float32)


def reference(params, x):
    def lin(t, name):
        return t @ params[name].T + params["b_" + name]

    def ln(t, i):
        c = t - t.mean(-1, keepdims=True)
        return c / jnp.sqrt((c * c).mean(-1, keepdims=True) + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    b, s, e = x.shape
    x = ln(x + params["pos"][2 : 2 + s], 0)
    q, k, v = (lin(x, n).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    p = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, axis=-1)
    x = ln(lin((p @ v).transpose(0, 2, 1, 3).reshape(b, s, e), "o") + x, 1)
    x = ln(lin(jax.nn.gelu(lin(x, "i"), approximate=False), "f") + x, 2)
    return lin(jnp.tanh(lin(x[:, 0, :], "dense")), "out")


class Norm:
    def __init__(self, params, index):
        self.scale, self.shift = params[f"g{index}"], params[f"s{index}"]

    def __call__(self, t):
        mean = jnp.mean(t, -1, keepdims=True)
        inv = jax.lax.rsqrt(jnp.mean(t * t, -1, keepdims=True) - mean * mean + 1e-5) * self.scale
        return (t - mean) * inv + self.shift


def exact_gelu(t):
    return 0.5 * t * (1 + jax.lax.erf(t * np.float32(np.sqrt(0.5))))


class ClassificationHead:
    def __init__(self, params, activation):
        self.p, self.activation = params, activation

    def __call__(self, states):
        first = jax.lax.index_in_dim(states, 0, axis=1, keepdims=False)
        pooled = self.p["b_dense"] + jnp.einsum("nm,dm->nd", first, self.p["dense"])
        pooled = self.activation(pooled)  # FAULT
        return self.p["b_out"] + jnp.einsum("nd,cd->nc", pooled, self.p["out"])


def encoder_layer(params, x):
    bias = lambda n: params[f"b_{n}"].reshape(HEADS, 1, DEPTH)
    split = lambda n: jnp.einsum("nsm,hdm->nhsd", x, params[n].reshape(HEADS, DEPTH, -1)) + bias(n)
    scores = jnp.einsum("nhkd,nhqd->nhqk", split("k"), split("q") * DEPTH**-0.5)
    context = jnp.einsum("nhqk,nhkd->nqhd", jax.nn.softmax(scores), split("v"))
    attended = jnp.einsum("nqhd,mhd->nqm", context, params["o"].reshape(-1, HEADS, DEPTH))
    x = Norm(params, 1)(x + (attended + params["b_o"]))
    inner = exact_gelu(jnp.einsum("nsm,fm->nsf", x, params["i"]) + params["b_i"])
    return Norm(params, 2)(x + (jnp.einsum("nsf,mf->nsm", inner, params["f"]) + params["b_f"]))


def _classify(params, x, activation):
    embedded = Norm(params, 0)(jax.lax.slice_in_dim(params["pos"], 2, 2 + x.shape[1])[None] + x)
    return ClassificationHead(params, activation)(encoder_layer(params, embedded))


def ours(params, x):
    return _classify(params, x, partial(jax.nn.gelu, approximate=False))  # FAULT


def fixed(params, x):
    return _classify(params, x, jnp.tanh)
