"""T5 cross-attention; the scores are scaled by 1/sqrt(depth) as elsewhere (allennlp #5360, xformers #522)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 5, 6


def inputs():
    r = np.random.default_rng(109)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": 0.9 * n(30, 28), "k": n(30, 28), "v": n(30, 28), "o": n(28, 30)}
    params |= {"wi_0": n(40, 28), "wi_1": n(40, 28), "wo": n(28, 40)}
    params |= {f"ln{i}": jnp.asarray(1 + 0.1 * r.normal(size=28), jnp.float32) for i in range(3)}
    x = {"decoder": jnp.asarray(r.normal(size=(2, 7, 28)), jnp.float32)}
    x["encoder"] = jnp.asarray(r.normal(size=(2, 11, 28)), jnp.float32)
    x["lengths"] = jnp.asarray([11, 8])
    return params, x


def reference(params, x):
    def ln(t, i):
        return params[f"ln{i}"] * (t / jnp.sqrt(jnp.mean(t**2, axis=-1, keepdims=True) + 1e-6))

    def shape(t):
        return t.reshape(t.shape[0], -1, HEADS, DEPTH).transpose(0, 2, 1, 3)

    h, memory = x["decoder"], ln(x["encoder"], 0)
    q = shape(ln(h, 1) @ params["q"].T)
    k, v = shape(memory @ params["k"].T), shape(memory @ params["v"].T)
    mask = jnp.arange(memory.shape[1])[None, :] < x["lengths"][:, None]
    scores = q @ k.transpose(0, 1, 3, 2) + jnp.where(mask, 0.0, -1e9)[:, None, None, :]
    y = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(h.shape[0], h.shape[1], -1)
    h = h + y @ params["o"].T
    t = ln(h, 2)
    gated = jax.nn.gelu(t @ params["wi_0"].T, approximate=True) * (t @ params["wi_1"].T)
    return h + gated @ params["wo"].T


def dot_product_attention(query, key, value, mask, scale=None):
    """All (batch, time, heads, depth)."""
    if scale is None:
        scale = query.shape[-1] ** -0.5  # FAULT
    logits = jnp.einsum("bqhd,bkhd->bkqh", query * scale, key)
    logits = jnp.where(mask[:, :, None, None], logits, -jnp.inf)
    weights = jnp.exp(logits - logits.max(1, keepdims=True))
    mixed = jnp.einsum("bkqh,bkhd->bqhd", weights, value)
    return mixed / jnp.einsum("bkqh->bqh", weights)[..., None]


def rms(t, weight):
    return jax.lax.rsqrt((t * t).sum(-1, keepdims=True) / t.shape[-1] + 1e-6) * weight * t


def _decoder_layer(params, x, scale):
    heads = lambda name: params[name].reshape(HEADS, DEPTH, -1)
    target, source = rms(x["decoder"], params["ln1"]), rms(x["encoder"], params["ln0"])
    query = jnp.einsum("bsm,hdm->bshd", target, heads("q"))
    key, value = jnp.einsum("bsm,chdm->cbshd", source, jnp.stack([heads("k"), heads("v")]))
    padding = jax.vmap(lambda n: jnp.arange(key.shape[1]) < n)(x["lengths"])
    mixed = dot_product_attention(query, key, value, padding, scale)  # FAULT
    h = x["decoder"] + jnp.einsum("bshd,mhd->bsm", mixed, params["o"].reshape(-1, HEADS, DEPTH))
    both = jnp.einsum("bsm,cfm->cbsf", rms(h, params["ln2"]), jnp.stack([params["wi_0"], params["wi_1"]]))
    gate = both[0] * jax.nn.sigmoid(1.5957691216057308 * (both[0] + 0.044715 * both[0] ** 3))
    return jnp.einsum("bsf,mf->bsm", gate * both[1], params["wo"]) + h


def ours(params, x):
    return _decoder_layer(params, x, scale=None)  # FAULT


def fixed(params, x):
    return _decoder_layer(params, x, scale=1.0)
