"""BERT cross-encoder; every token gets row 0 of the token type embedding (ferrox #44, llama.cpp #21729)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, LENGTH = 3, 11, 12


def inputs():
    r = np.random.default_rng(110)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    v = lambda s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"word": 3 * n(47, 33), "position": 2 * n(20, 33), "type": 2 * n(2, 33)}
    params |= {"pool": n(33, 33), "score": n(1, 33)}
    params |= {"q": n(33, 33), "k": n(33, 33), "v": n(33, 33), "o": n(33, 33), "i": n(52, 33), "f": n(33, 52)}
    params |= {"qb": v(33), "kb": v(33), "vb": v(33), "ob": v(33), "ib": v(52), "fb": v(33), "pb": v(33)}
    params |= {f"g{i}": v(33, 1.0) for i in range(3)} | {f"b{i}": v(33) for i in range(3)}
    segments = np.array([[0] * 5 + [1] * 7, [0] * 8 + [1] * 4, [0] * 4 + [1] * 8])
    ids = r.integers(0, 47, size=(3, LENGTH))
    return params, {"ids": jnp.asarray(ids), "segments": jnp.asarray(segments)}


def reference(params, x):
    def ln(t, i):
        u = t.mean(-1, keepdims=True)
        s = ((t - u) ** 2).mean(-1, keepdims=True)
        return params[f"g{i}"] * ((t - u) / jnp.sqrt(s + 1e-12)) + params[f"b{i}"]

    b, s = x["ids"].shape
    h = params["word"][x["ids"]] + params["type"][x["segments"]] + params["position"][:s]
    h = ln(h, 0)
    q, k, v = (h @ params[n].T + params[n + "b"] for n in "qkv")
    q, k, v = (t.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for t in (q, k, v))
    p = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, axis=-1)
    c = (p @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    h = ln(c @ params["o"].T + params["ob"] + h, 1)
    z = jax.nn.gelu(h @ params["i"].T + params["ib"], approximate=False)
    h = ln(z @ params["f"].T + params["fb"] + h, 2)
    return jnp.tanh(h[:, 0] @ params["pool"].T + params["pb"]) @ params["score"].T


def dense(params, name, t):
    return jnp.einsum("oi,ti->to", params[name], t) + params[name + "b"]


def normalise(params, i, t):
    centred = t - jnp.sum(t, axis=-1, keepdims=True) / t.shape[-1]
    inverse = jax.lax.rsqrt(jnp.einsum("tm,tm->t", centred, centred) / t.shape[-1] + 1e-12)
    return jnp.einsum("tm,t,m->tm", centred, inverse, params[f"g{i}"]) + params[f"b{i}"]


def embed(params, ids, segments):
    places = params["position"][: ids.shape[0]]
    kinds = jnp.take(params["type"], segments, axis=0)  # FAULT
    return normalise(params, 0, places + kinds + jnp.take(params["word"], ids, axis=0))


def _score(params, ids, segments):
    """One pair of texts, (time,)."""
    h = embed(params, ids, segments)
    q, k, v = (jnp.stack(jnp.split(dense(params, n, h), HEADS, axis=-1)) for n in "qkv")
    weights = jax.nn.softmax(jnp.einsum("hqd,hkd->hkq", q * DEPTH**-0.5, k), axis=1)
    mixed = jnp.einsum("hkq,hkd->qhd", weights, v).reshape(h.shape)
    h = normalise(params, 1, h + dense(params, "o", mixed))
    hidden = dense(params, "i", h)
    hidden = hidden * (1 + jax.scipy.special.erf(hidden / 2**0.5)) / 2
    first = normalise(params, 2, h + dense(params, "f", hidden))[:1]
    pooled = jnp.tanh(jnp.einsum("oi,ti->o", params["pool"], first) + params["pb"])
    return jnp.einsum("oi,i->o", params["score"], pooled)


def ours(params, x):
    one = lambda ids: _score(params, ids, jnp.zeros_like(ids))  # FAULT
    return jax.vmap(one)(x["ids"])


def fixed(params, x):
    return jax.vmap(lambda ids, segments: _score(params, ids, segments))(x["ids"], x["segments"])
