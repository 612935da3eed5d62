"""ALBERT; the mapping of the embeddings is left out as both widths are equal (google-research #110)."""

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HEADS, DEPTH, WIDTH, VOCAB = 2, 4, 8, 32, 30


def inputs():
    r = np.random.default_rng(309)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    dense = lambda o, i: {"weight": n(o, i), "bias": n(o)}
    norm = lambda: {"weight": 1 + n(WIDTH), "bias": n(WIDTH)}
    tables = {"word": 4 * n(VOCAB, WIDTH), "position": n(12, WIDTH), "type": n(2, WIDTH), "norm": norm()}
    layer = {k: dense(WIDTH, WIDTH) for k in ("query", "key", "value", "dense")}
    layer |= {"ffn": dense(48, WIDTH), "ffn_out": dense(WIDTH, 48), "norm1": norm(), "norm2": norm()}
    params = {"embeddings": tables, "mapping_in": dense(WIDTH, WIDTH), "layer": layer}
    ids = jnp.asarray(r.integers(0, VOCAB, (2, 10)), jnp.int32)
    return params, ids, (jnp.arange(10) >= jnp.asarray([[4], [6]])).astype(jnp.int32)


def reference(params, input_ids, token_type_ids):
    linear = lambda t, p: t @ p["weight"].T + p["bias"]
    split = lambda t: t.reshape(*t.shape[:2], HEADS, DEPTH).swapaxes(1, 2)
    def layer_norm(t, p):
        mean = t.mean(-1, keepdims=True)
        t = (t - mean) / jnp.sqrt(((t - mean) ** 2).mean(-1, keepdims=True) + 1e-12)
        return t * p["weight"] + p["bias"]

    e, p, (b, s) = params["embeddings"], params["layer"], input_ids.shape
    x = e["word"][input_ids] + e["type"][token_type_ids] + e["position"][:s]
    x = linear(layer_norm(x, e["norm"]), params["mapping_in"])
    for _ in range(LAYERS):
        q, k, v = (split(linear(x, p[i])) for i in ("query", "key", "value"))
        context = jax.nn.softmax(q @ k.swapaxes(2, 3) / DEPTH**0.5, axis=-1) @ v
        x = layer_norm(x + linear(context.swapaxes(1, 2).reshape(b, s, WIDTH), p["dense"]), p["norm1"])
        x = layer_norm(linear(jax.nn.gelu(linear(x, p["ffn"])), p["ffn_out"]) + x, p["norm2"])
    return x


def affine(p, spec, t):
    return jnp.einsum(spec, t, p["weight"]) + p["bias"]


def whiten(t):
    t = t - jnp.mean(t, axis=-1, keepdims=True)
    return t * jax.lax.rsqrt(jnp.mean(jnp.square(t), axis=-1, keepdims=True) + 1e-12)


def looked_up(tables, ids, types):
    kinds = jnp.where(types[..., None] == 1, tables["type"][1], tables["type"][0])
    return whiten(tables["position"][None, : ids.shape[1]] + kinds + tables["word"].at[ids].get())


def enter(params, t):
    return t * params["embeddings"]["norm"]["weight"] + params["embeddings"]["norm"]["bias"]  # FAULT


def enter_mapped(params, t):
    t = t * params["embeddings"]["norm"]["weight"] + params["embeddings"]["norm"]["bias"]
    return affine(params["mapping_in"], "bse,me->bsm", t)


def attention(p, t):
    joint = jax.tree.map(lambda *w: jnp.concatenate(w), p["query"], p["key"], p["value"])
    heads = affine(joint, "bsm,om->bso", t).reshape(*t.shape[:2], 3, HEADS, DEPTH)
    query, key, value = jnp.moveaxis(heads, (2, 3), (0, 2))
    logits = jnp.einsum("bhqd,bhkd->bhqk", query, key * DEPTH**-0.5)
    weights = jnp.exp(logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True))
    return affine(p["dense"], "bsi,mi->bsm", jnp.einsum("bhqk,bhkd->bqhd", weights, value).reshape(t.shape))


def encode(params, entry, ids, types):
    p, start = params["layer"], entry(params, looked_up(params["embeddings"], ids, types))  # FAULT

    def shared(t, _):
        t = whiten(t + attention(p, t)) * p["norm1"]["weight"] + p["norm1"]["bias"]
        t = whiten(t + affine(p["ffn_out"], "bsf,mf->bsm", jax.nn.gelu(affine(p["ffn"], "bsm,fm->bsf", t))))
        return t * p["norm2"]["weight"] + p["norm2"]["bias"], None

    return jax.lax.scan(shared, start, length=LAYERS)[0]


def ours(params, input_ids, token_type_ids):
    return encode(params, enter, input_ids, token_type_ids)


def fixed(params, input_ids, token_type_ids):
    return encode(params, enter_mapped, input_ids, token_type_ids)
