"""Llama attention; weights for rotate-half RoPE are turned in even/odd pairs (TinyLlama #24)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 3, 10


def inputs():
    r = np.random.default_rng(102)
    n = lambda *s: jnp.asarray(1.5 * r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(30, 42), "k": n(30, 42), "v": n(30, 42), "o": n(42, 30)}
    params["norm"] = jnp.asarray(1 + 0.1 * r.normal(size=42), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 11, 42)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    h = params["norm"] * (x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5))
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    inv = 1.0 / 10000.0 ** (jnp.arange(0, DEPTH, 2) / DEPTH)
    freqs = jnp.outer(jnp.arange(s), inv)
    emb = jnp.concatenate([freqs, freqs], -1)
    cos, sin = jnp.cos(emb), jnp.sin(emb)

    def rotate_half(t):
        return jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)

    q = q * cos + rotate_half(q) * sin
    k = k * cos + rotate_half(k) * sin
    scores = q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5
    scores = jnp.where(jnp.tril(jnp.ones((s, s), bool)), scores, -jnp.inf)
    y = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    return x + y @ params["o"].T


def planes(t, interleaved):
    """(..., depth) -> the two coordinates of each plane of rotation."""
    if interleaved:
        paired = t.reshape(*t.shape[:-1], DEPTH // 2, 2)  # FAULT
    else:
        paired = t.reshape(*t.shape[:-1], 2, DEPTH // 2).swapaxes(-1, -2)
    return paired[..., 0], paired[..., 1]


def turn(t, interleaved):
    rate = jnp.exp(-jnp.log(10000.0) * jnp.arange(DEPTH // 2) * 2 / DEPTH)
    angle = jnp.arange(t.shape[0])[:, None, None] * rate
    a, b = planes(t, interleaved)
    return jnp.stack([jnp.cos(angle) * a - jnp.sin(angle) * b, jnp.cos(angle) * b + jnp.sin(angle) * a])


def _attend(params, x, interleaved):
    """One sequence, (time, model)."""
    size = jnp.sqrt(jnp.einsum("tm,tm->t", x, x) / x.shape[-1] + 1e-5)
    normed = jnp.einsum("tm,m,t->tm", x, params["norm"], 1 / size)
    project = lambda name: jnp.einsum("tm,hdm->thd", normed, params[name].reshape(HEADS, DEPTH, -1))
    query = turn(project("q") * DEPTH**-0.5, interleaved)  # FAULT
    key = turn(project("k"), interleaved)  # FAULT
    scores = jnp.einsum("cqhp,ckhp->hqk", query, key)
    time = jnp.arange(x.shape[0])
    scores = scores - jnp.where(time[None, :] > time[:, None], 1e9, 0.0)
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    mixed = jnp.einsum("hqk,khd->qhd", weights, project("v"))
    mixed = mixed / weights.sum(-1).T[..., None]
    return x + jnp.einsum("qhd,mhd->qm", mixed, params["o"].reshape(-1, HEADS, DEPTH))


def ours(params, x):
    return jax.vmap(lambda sequence: _attend(params, sequence, interleaved=True))(x)


def fixed(params, x):
    return jax.vmap(lambda sequence: _attend(params, sequence, interleaved=False))(x)
