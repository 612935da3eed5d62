"""OLMo 2 layer; each sublayer's norm is put on what goes in instead of what comes out (gpt-neox #1408)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WIDTH, INNER = 4, 8, 32, 44


def inputs():
    r = np.random.default_rng(304)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    attn = {k: n(WIDTH, WIDTH) for k in ("q_proj", "k_proj", "v_proj", "o_proj")}
    attn |= {"q_norm": 1 + n(WIDTH), "k_norm": 1 + n(WIDTH)}
    mlp = {"gate_proj": n(INNER, WIDTH), "up_proj": n(INNER, WIDTH), "down_proj": n(WIDTH, INNER)}
    params = {"self_attn": attn, "mlp": mlp, "norm_attn": 1 + n(WIDTH), "norm_mlp": 1 + n(WIDTH)}
    return params, jnp.asarray(r.normal(size=(2, 8, WIDTH)), jnp.float32)


def reference(params, hidden):
    a, m, (b, s, _) = params["self_attn"], params["mlp"], hidden.shape
    rms_norm = lambda t, w: w * (t / jnp.sqrt(jnp.mean(t**2, axis=-1, keepdims=True) + 1e-6))
    heads = lambda t: t.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3)
    def rotate(t):
        angles = np.outer(np.arange(t.shape[2]), 1 / 500000.0 ** (np.arange(0, DEPTH, 2) / DEPTH))
        emb = np.tile(angles, 2).astype(np.float32)
        half = jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
        return t * np.cos(emb) + half * np.sin(emb)

    q = rotate(heads(rms_norm(hidden @ a["q_proj"].T, a["q_norm"])))
    k = rotate(heads(rms_norm(hidden @ a["k_proj"].T, a["k_norm"])))
    v = heads(hidden @ a["v_proj"].T)
    scores = jnp.where(np.tri(s, dtype=bool), q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, -1e30)
    out = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, WIDTH) @ a["o_proj"].T
    hidden = hidden + rms_norm(out, params["norm_attn"])
    out = (jax.nn.silu(hidden @ m["gate_proj"].T) * (hidden @ m["up_proj"].T)) @ m["down_proj"].T
    return hidden + rms_norm(out, params["norm_mlp"])


def scaled(gain):
    return lambda t: t * gain * jax.lax.rsqrt((t * t).sum(axis=-1, keepdims=True) / t.shape[-1] + 1e-6)


def turned(t):
    rate = np.exp(-np.log(500000.0) * np.arange(DEPTH // 2) / (DEPTH // 2))
    angle = jnp.asarray(np.multiply.outer(np.arange(t.shape[-2]), rate), jnp.float32)
    cos, sin = jnp.cos(angle).astype(t.dtype), jnp.sin(angle).astype(t.dtype)
    low, high = t[..., : DEPTH // 2], t[..., DEPTH // 2 :]
    return jnp.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def attention(w):
    def head(query, key, value):
        logits = jnp.where(jnp.tri(len(query), dtype=bool), query @ (key * DEPTH**-0.5).T, -jnp.inf)
        share = jnp.exp(logits - logits.max(axis=1, keepdims=True))
        return (share @ value) / share.sum(axis=1, keepdims=True)

    def one(t):
        split = lambda y: jnp.moveaxis(y.reshape(len(t), HEADS, DEPTH), 1, 0)
        query, key = scaled(w["q_norm"])(t @ w["q_proj"].T), scaled(w["k_norm"])(t @ w["k_proj"].T)
        mixed = jax.vmap(head)(turned(split(query)), turned(split(key)), split(t @ w["v_proj"].T))
        return jnp.einsum("hsd,mhd->sm", mixed, w["o_proj"].reshape(WIDTH, HEADS, DEPTH))

    return jax.vmap(one)


def feed_forward(w):
    gated = lambda t: jax.nn.silu(t @ w["gate_proj"].T) * (t @ w["up_proj"].T)
    return lambda t: jnp.einsum("bsf,mf->bsm", gated(t), w["down_proj"])


def pre(stream, inner, norm):
    return stream + inner(norm(stream))  # FAULT


def post(stream, inner, norm):
    return stream + norm(inner(stream))


def model(params, stream, join):
    stream = join(stream, attention(params["self_attn"]), scaled(params["norm_attn"]))  # FAULT
    return join(stream, feed_forward(params["mlp"]), scaled(params["norm_mlp"]))  # FAULT


def ours(params, hidden):
    return model(params, hidden, pre)


def fixed(params, hidden):
    return model(params, hidden, post)
