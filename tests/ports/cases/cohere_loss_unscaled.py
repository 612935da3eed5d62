"""Command-R with its token losses; the chunked cross entropy forgets the logit scale (unsloth #11277)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WIDTH, VOCAB, CHUNK, LOGIT_SCALE = 4, 8, 32, 24, 6, 0.0625


def inputs():
    r = np.random.default_rng(305)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"embed": 9 * n(VOCAB, WIDTH), "norm": 1 + n(WIDTH), "final": 1 + n(WIDTH)}
    params |= {k: n(WIDTH, WIDTH) for k in ("q", "k", "v", "o", "gate", "up", "down")}
    return params, jnp.asarray(r.integers(0, VOCAB, (2, 9)), jnp.int32)


def reference(params, ids):
    def layer_norm(t, w):
        t = t - t.mean(-1, keepdims=True)
        return w * (t / jnp.sqrt((t**2).mean(-1, keepdims=True) + 1e-5))

    def rotate(t):
        freqs = np.outer(np.arange(t.shape[2]), 1 / 10000.0 ** (np.arange(0, DEPTH, 2) / DEPTH))
        emb = np.repeat(freqs, 2, axis=-1).astype(np.float32)
        half = jnp.stack([-t[..., 1::2], t[..., ::2]], axis=-1)
        return t * np.cos(emb) + half.reshape(t.shape) * np.sin(emb)

    x, labels = params["embed"][ids[:, :-1]], ids[:, 1:, None]
    b, s, _ = x.shape
    h = layer_norm(x, params["norm"])
    q, k, v = ((h @ params[i].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for i in "qkv")
    a = jnp.where(np.tri(s, dtype=bool), rotate(q) @ rotate(k).transpose(0, 1, 3, 2) / DEPTH**0.5, -1e9)
    a = (jax.nn.softmax(a, -1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1) @ params["o"].T
    m = (jax.nn.silu(h @ params["gate"].T) * (h @ params["up"].T)) @ params["down"].T
    logits = (layer_norm(x + a + m, params["final"]) @ params["embed"].T) * LOGIT_SCALE
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, -1), labels, -1)[..., 0]


def normed(t, scale):
    return jax.nn.standardize(t, axis=-1, epsilon=1e-5) * scale


def rope(t):
    angle = np.arange(t.shape[1])[:, None] * np.power(1e4, -2.0 / DEPTH * np.arange(DEPTH // 2))
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pairs = t.reshape(*t.shape[:3], DEPTH // 2, 2)
    return jnp.einsum("ijsf,bshfj->bshfi", jnp.asarray(spin, t.dtype), pairs).reshape(t.shape)


def block(w, x):
    h = normed(x, w["norm"])
    query, key, value = (jnp.dot(h, w[i].T).reshape(*h.shape[:2], HEADS, DEPTH) for i in "qkv")
    scores = jnp.einsum("bqhd,bkhd->bhqk", rope(query), rope(key * DEPTH**-0.5))
    weights = jax.nn.softmax(scores, axis=-1, where=jnp.tri(x.shape[1], dtype=bool))
    x = x + jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape) @ w["o"].T
    return x + (jax.nn.silu(h @ w["gate"].T) * (h @ w["up"].T)) @ w["down"].T


def bare(hidden, rows):
    return jnp.einsum("nm,vm->nv", hidden, rows)  # FAULT


def scaled(hidden, rows):
    return jnp.einsum("nm,vm->nv", hidden, rows) * LOGIT_SCALE


def losses(hidden, table, labels, logits):
    def piece(carry, rows):
        total, start, own = carry
        here = logits(hidden, rows).astype(jnp.float32)  # FAULT
        total = jnp.logaddexp(total, jax.nn.logsumexp(here, axis=1))
        return (total, start + CHUNK, own + (here * jax.nn.one_hot(labels - start, CHUNK)).sum(axis=1)), None

    first = (jnp.full(len(labels), -jnp.inf), 0, jnp.zeros(len(labels)))
    total, _, own = jax.lax.scan(piece, first, table.reshape(-1, CHUNK, WIDTH))[0]
    return total - own


def port(w, ids, logits):
    hidden = normed(block(w, jnp.take(w["embed"], ids[:, :-1], axis=0)), w["final"]).reshape(-1, WIDTH)
    return losses(hidden, w["embed"], ids[:, 1:].ravel(), logits).reshape(len(ids), -1)


def ours(params, ids):
    return port(params, ids, bare)


def fixed(params, ids):
    return port(params, ids, scaled)
