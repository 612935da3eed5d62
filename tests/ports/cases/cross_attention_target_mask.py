"""Encoder-decoder layer; cross-attention gets the mask of self-attention (diffusers #2656)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 5, 8


def inputs():
    r = np.random.default_rng(116)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {k: 1.5 * n(40, 36) for k in ("sq", "sk", "sv", "cq")}
    params |= {"ck": 1.5 * n(40, 30), "cv": 1.5 * n(40, 30), "so": n(36, 40), "co": n(36, 40)}
    params |= {k: jnp.asarray(1 + 0.1 * r.normal(size=36), jnp.float32) for k in ("n1", "n2", "n3")}
    params |= {"up": n(52, 36), "down": n(36, 52)}
    x = {"target": jnp.asarray(r.normal(size=(3, 9, 36)), jnp.float32)}
    x["source"] = jnp.asarray(r.normal(size=(3, 9, 30)), jnp.float32)
    return params, x | {"target_len": jnp.array([6, 9, 4]), "source_len": jnp.array([9, 5, 7])}


def reference(params, x):
    def norm(t, g):
        return g * (t / jnp.sqrt((t * t).mean(-1, keepdims=True) + 1e-6))

    def attend(t, memory, names, blocked):
        q, k, v = (u @ params[m].T for u, m in zip((t, memory, memory), names))
        heads = []
        for i in range(HEADS):
            part = slice(i * DEPTH, (i + 1) * DEPTH)
            scores = q[..., part] @ k[..., part].swapaxes(1, 2) / DEPTH**0.5
            probs = jax.nn.softmax(jnp.where(blocked, -1e9, scores), axis=-1)
            heads.append(probs @ v[..., part])
        return jnp.concatenate(heads, axis=-1)

    target, source = x["target"], x["source"]
    steps = jnp.arange(target.shape[1])
    pad_source = (jnp.arange(source.shape[1]) >= x["source_len"][:, None])[:, None, :]
    pad_target = (steps >= x["target_len"][:, None])[:, None, :]
    future = (steps > steps[:, None])[None]
    h = norm(target, params["n1"])
    y = target + attend(h, h, ("sq", "sk", "sv"), pad_target | future) @ params["so"].T
    y = y + attend(norm(y, params["n2"]), source, ("cq", "ck", "cv"), pad_source) @ params["co"].T
    return y + jax.nn.relu(norm(y, params["n3"]) @ params["up"].T) @ params["down"].T


class Attention:
    def __init__(self, params, kind, gain):
        kernel = lambda n: params[kind + n].reshape(HEADS, DEPTH, -1)
        self.query, self.out = kernel("q") * gain, params[kind + "o"].reshape(-1, HEADS, DEPTH)
        self.key, self.value = kernel("k"), kernel("v")

    def __call__(self, unit, memory, bias, stream):
        query = jnp.einsum("btm,hdm->bthd", unit, self.query)
        key, value = (jnp.einsum("bsm,hdm->bhsd", memory, w) for w in (self.key, self.value))
        scores = jnp.einsum("bthd,bhsd->bhts", query, key) / DEPTH**0.5 + bias[:, None]
        weights = jnp.exp(scores - scores.max(-1, keepdims=True))
        mixed = jnp.einsum("bhts,bhsd->bthd", weights, value)
        mixed = mixed / jnp.einsum("bhts->bth", weights)[..., None]
        return stream + jnp.einsum("bthd,mhd->btm", mixed, self.out)


class DecoderLayer:
    def __init__(self, params, right):
        self.p, self.right = params, right
        self.own, self.cross = Attention(params, "s", 1.0), Attention(params, "c", params["n2"])

    def unit(self, t):
        return t * jax.lax.rsqrt(jnp.einsum("btm,btm->bt", t, t)[..., None] / t.shape[-1] + 1e-6)

    def __call__(self, stream, memory, mask, memory_mask):
        bias = lambda keep: jnp.where(keep, 0.0, -1e9).astype(stream.dtype)
        first = self.unit(stream) * self.p["n1"]
        causal = jnp.tri(stream.shape[1], dtype=bool)
        stream = self.own(first, first, bias(mask[:, None] & causal), stream)
        over = memory_mask if self.right else mask  # FAULT
        stream = self.cross(self.unit(stream), memory, bias(over[:, None]), stream)  # FAULT
        inner = jnp.einsum("btm,fm->btf", self.unit(stream), self.p["up"] * self.p["n3"])
        return jnp.einsum("btf,mf->btm", jnp.maximum(inner, 0), self.p["down"]) + stream


def _decode(params, x, right):
    valid = lambda t, lengths: jnp.arange(t.shape[1]) < lengths[:, None]
    masks = valid(x["target"], x["target_len"]), valid(x["source"], x["source_len"])
    return DecoderLayer(params, right)(x["target"], x["source"], *masks)


def ours(params, x):
    return _decode(params, x, right=False)


def fixed(params, x):
    return _decode(params, x, right=True)
