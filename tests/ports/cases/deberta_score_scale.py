"""DeBERTa-v2; the three score terms are divided by sqrt(d), not sqrt(3 d) (FasterTransformer #707)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WIDTH, SPAN = 2, 16, 32, 4


def inputs():
    r = np.random.default_rng(310)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {k: n(WIDTH, WIDTH) for k in ("query", "key", "value", "dense")}
    params |= {k + "_bias": n(WIDTH) for k in ("query", "key", "value", "dense", "norm")}
    params |= {"rel_embeddings": 3 * n(2 * SPAN, WIDTH), "norm": 1 + n(WIDTH)}
    mask = jnp.asarray([[1] * 9, [1] * 6 + [0] * 3], jnp.int32)
    return params, jnp.asarray(r.normal(size=(2, 9, WIDTH)), jnp.float32), mask


def reference(params, hidden, mask):
    b, s, _ = hidden.shape

    def project(name, t):
        t = t @ params[name].T + params[name + "_bias"]
        return t.reshape(*t.shape[:-1], HEADS, DEPTH).swapaxes(-3, -2)

    q, k, v = (project(i, hidden) for i in ("query", "key", "value"))
    pos_q, pos_k = project("query", params["rel_embeddings"]), project("key", params["rel_embeddings"])
    relative_pos = np.arange(s)[:, None] - np.arange(s)[None, :]
    c2p_pos = np.broadcast_to(np.clip(relative_pos + SPAN, 0, 2 * SPAN - 1), (b, HEADS, s, s))
    p2c_pos = np.broadcast_to(np.clip(-relative_pos + SPAN, 0, 2 * SPAN - 1), (b, HEADS, s, s))
    scale = (DEPTH * 3) ** 0.5
    scores = q @ (k.swapaxes(2, 3) / scale)
    c2p = jnp.take_along_axis(q @ pos_k.swapaxes(1, 2), c2p_pos, axis=-1)
    p2c = jnp.take_along_axis(k @ pos_q.swapaxes(1, 2), p2c_pos, axis=-1).swapaxes(2, 3)
    scores = scores + (c2p / scale + p2c / scale)
    pair = (mask[:, None, None, :] * mask[:, None, :, None]) > 0
    probs = jnp.where(pair, jax.nn.softmax(jnp.where(pair, scores, -1e30), axis=-1), 0)
    context = (probs @ v).swapaxes(1, 2).reshape(b, s, WIDTH)
    out = context @ params["dense"].T + params["dense_bias"] + hidden
    mean = out.mean(-1, keepdims=True)
    std = jnp.sqrt(((out - mean) ** 2).mean(-1, keepdims=True) + 1e-7)
    return (out - mean) / std * params["norm"] + params["norm_bias"]


def split(t):
    return t.reshape(t.shape[0], HEADS, DEPTH)


def buckets(length):
    """One-hot over the clipped distance: (query, key, bucket)."""
    gap = jnp.arange(length)[:, None] - jnp.arange(length)
    return jax.nn.one_hot(jnp.clip(gap, -SPAN, SPAN - 1) + SPAN, 2 * SPAN)


def single(total):
    return total / jnp.sqrt(jnp.asarray(DEPTH, total.dtype))  # FAULT


def triple(total):
    return total / jnp.sqrt(jnp.asarray(3 * DEPTH, total.dtype))


def attend(w, x, valid, shrink):
    """One sequence: (tokens, width)."""
    both = jnp.concatenate([x, w["rel_embeddings"].astype(x.dtype)])
    query, key = (split(both @ w[i].T + w[i + "_bias"]) for i in ("query", "key"))
    value = split(jnp.dot(x, w["value"].T) + w["value_bias"])
    n, table = len(x), buckets(len(x)).astype(x.dtype)
    content = jnp.einsum("qhd,khd->hqk", query[:n], key[:n])
    to_place = jnp.einsum("qhr,qkr->hqk", jnp.einsum("qhd,rhd->qhr", query[:n], key[n:]), table)
    from_place = jnp.einsum("khr,qkr->hqk", jnp.einsum("khd,rhd->khr", key[:n], query[n:]), table)
    scores = shrink(content + to_place + from_place)  # FAULT
    weights = jax.nn.softmax(scores, axis=-1, where=valid)
    mixed = jnp.einsum("hqk,khd->qhd", weights, value).reshape(n, WIDTH) * valid[:, None]
    return mixed @ w["dense"].T + w["dense_bias"]


def block(w, x, mask, shrink):
    t = x + jax.vmap(lambda row, valid: attend(w, row, valid, shrink))(x, mask.astype(bool))
    mean = t.mean(axis=-1, keepdims=True)
    return (t - mean) * jax.lax.rsqrt(t.var(axis=-1, keepdims=True) + 1e-7) * w["norm"] + w["norm_bias"]


def ours(params, hidden, mask):
    return block(params, hidden, mask, single)


def fixed(params, hidden, mask):
    return block(params, hidden, mask, triple)
