"""Mistral, two layers in one scan; the shared heads come out 0 1 0 1 instead of 0 0 1 1 (onnx #7274)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HEADS, SHARED, DEPTH, WIDTH, WINDOW = 2, 4, 2, 8, 32, 4


def inputs():
    r = np.random.default_rng(302)
    n = lambda *s: jnp.asarray(r.normal(size=(LAYERS, *s)) / np.sqrt(s[-1]), jnp.float32)
    params = {"wq": n(32, WIDTH), "wk": n(16, WIDTH), "wv": n(16, WIDTH), "wo": n(WIDTH, 32)}
    params |= {"w1": n(40, WIDTH), "w2": n(WIDTH, 40), "w3": n(40, WIDTH)}
    params |= {"norm1": 1 + n(WIDTH), "norm2": 1 + n(WIDTH)}
    return params, jnp.asarray(r.normal(size=(2, 8, WIDTH)), jnp.float32)


def reference(params, x):
    norm = lambda t, w: t / jnp.sqrt((t * t).mean(-1, keepdims=True) + 1e-5) * w
    repeat_kv = lambda t: jnp.stack([t[:, i // (HEADS // SHARED)] for i in range(HEADS)], axis=1)
    b, s, e = x.shape
    freqs = np.outer(np.arange(s), 1.0 / 10000.0 ** (np.arange(0, DEPTH, 2) / DEPTH))
    emb = np.concatenate([freqs, freqs], -1)
    cos, sin = np.cos(emb).astype(np.float32), np.sin(emb).astype(np.float32)
    turn = lambda t: t * cos + jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1) * sin
    mask = np.tri(s, dtype=bool) & ~np.tri(s, k=-WINDOW, dtype=bool)
    for layer in range(LAYERS):
        p = {k: v[layer] for k, v in params.items()}
        h = norm(x, p["norm1"])
        q, k, v = ((h @ p[i].T).reshape(b, s, -1, DEPTH).transpose(0, 2, 1, 3) for i in ("wq", "wk", "wv"))
        q, k, v = turn(q), repeat_kv(turn(k)), repeat_kv(v)
        a = jnp.where(mask, q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, -1e9)
        x = x + (jax.nn.softmax(a, -1) @ v).transpose(0, 2, 1, 3).reshape(b, s, e) @ p["wo"].T
        h = norm(x, p["norm2"])
        x = x + (jax.nn.silu(h @ p["w1"].T) * (h @ p["w3"].T)) @ p["w2"].T
    return x


def rms(t, scale):
    return (scale * t) * jax.lax.rsqrt(jnp.mean(jnp.square(t), axis=-1, keepdims=True) + 1e-5)


def rope(t):
    step = np.exp(np.arange(DEPTH // 2) * (-2.0 / DEPTH) * np.log(1e4))
    angle = np.arange(t.shape[0])[:, None] * step
    z_re, z_im = t[..., : DEPTH // 2], t[..., DEPTH // 2 :]
    cos, sin = (jnp.asarray(f(angle)[:, None], t.dtype) for f in (np.cos, np.sin))
    return jnp.concatenate([z_re * cos - z_im * sin, z_re * sin + z_im * cos], axis=-1)


def widen_after(t):
    t = jnp.broadcast_to(t[:, :, None], (len(t), SHARED, HEADS // SHARED, DEPTH))
    return t.reshape(-1, HEADS, DEPTH)


def widen_before(t):
    t = jnp.broadcast_to(t[:, None], (len(t), HEADS // SHARED, SHARED, DEPTH))  # FAULT
    return t.reshape(-1, HEADS, DEPTH)


def attend(w, h, widen):
    project = lambda name: jnp.tensordot(h, w[name], ((1,), (1,))).reshape(len(h), -1, DEPTH)
    query, key, value = rope(project("wq")), rope(project("wk")), project("wv")
    lag = jnp.arange(len(h))[:, None] - jnp.arange(len(h))
    seen = (lag >= 0) & (lag < WINDOW)

    def one_head(q, k, v):
        return jax.nn.softmax(jnp.where(seen, (q * DEPTH**-0.5) @ k.T, -jnp.inf)) @ v

    mixed = jax.vmap(one_head, in_axes=1, out_axes=1)(query, widen(key), widen(value))  # FAULT
    return jnp.einsum("shd,mhd->sm", mixed, w["wo"].reshape(WIDTH, HEADS, DEPTH))


def layer(stream, w, widen):
    stream = stream + jax.vmap(lambda row: attend(w, rms(row, w["norm1"]), widen))(stream)
    h = rms(stream, w["norm2"])
    gate, up = jnp.einsum("bsm,fm->bsf", h, w["w1"]), jnp.einsum("bsm,fm->bsf", h, w["w3"])
    return stream + jnp.einsum("bsf,mf->bsm", jax.nn.silu(gate) * up, w["w2"]), None


def ours(params, x):
    return jax.lax.scan(functools.partial(layer, widen=widen_before), x, params)[0]


def fixed(params, x):
    return jax.lax.scan(functools.partial(layer, widen=widen_after), x, params)[0]
