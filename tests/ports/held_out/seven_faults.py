"""Two-block Gemma-like decoder, seven faults at once (transformers #29402, mlx-lm #390, axlearn #842)."""

import jax
import jax.numpy as jnp
import numpy as np

ONLY_ONE = False
HEADS, SHARED, DEPTH, WIDTH, VOCAB, WINDOW, CAP = 4, 2, 10, 36, 53, 4, 3.0
ALL = frozenset(range(1, 8))


def inputs():
    r = np.random.default_rng(119)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"embed": n(VOCAB, WIDTH), "last": 1.2 * n(WIDTH)}
    for i in "01":
        params |= {"q" + i: 2 * n(HEADS * DEPTH, WIDTH), "k" + i: 2 * n(SHARED * DEPTH, WIDTH)}
        params |= {"v" + i: n(SHARED * DEPTH, WIDTH), "o" + i: n(WIDTH, HEADS * DEPTH)}
        params |= {"gate" + i: 2 * n(50, WIDTH), "up" + i: n(50, WIDTH), "down" + i: n(WIDTH, 50)}
        params |= {"a" + i: 1.2 * n(WIDTH), "b" + i: 1.2 * n(WIDTH)}
    return params, jnp.asarray(r.integers(0, VOCAB, size=(2, 11)))


def reference(params, x):
    norm = lambda t, w: t / jnp.sqrt((t**2).mean(-1, keepdims=True) + 1e-6) * (1 + w)
    b, s = x.shape
    h = params["embed"][x] * WIDTH**0.5
    angles = np.tile(np.outer(np.arange(s), 10000.0 ** -(np.arange(0, DEPTH, 2) / DEPTH)), 2)
    cos, sin = jnp.asarray(np.cos(angles), h.dtype), jnp.asarray(np.sin(angles), h.dtype)
    turn = lambda t: jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], axis=-1)
    for i in "01":
        y = norm(h, params["a" + i])
        q, k, v = ((y @ params[m + i].T).reshape(b, s, -1, DEPTH).swapaxes(1, 2) for m in "qkv")
        q, k = q * cos + turn(q) * sin, k * cos + turn(k) * sin
        k, v = jnp.repeat(k, HEADS // SHARED, axis=1), jnp.repeat(v, HEADS // SHARED, axis=1)
        seen = np.tril(np.ones((s, s), bool))
        if i == "0":
            seen = seen & np.triu(np.ones((s, s), bool), 1 - WINDOW)
        scores = jnp.where(seen, q @ k.swapaxes(2, 3) / DEPTH**0.5, -1e30)
        y = (jax.nn.softmax(scores, axis=-1) @ v).swapaxes(1, 2).reshape(b, s, -1)
        h = h + y @ params["o" + i].T
        y = norm(h, params["b" + i])
        y = jax.nn.gelu(y @ params["gate" + i].T, approximate=True) * (y @ params["up" + i].T)
        h = h + y @ params["down" + i].T
    return CAP * jnp.tanh(norm(h, params["last"]) @ params["embed"].T / CAP)


def embed(p, tokens, faults):
    rows = jax.nn.one_hot(tokens, VOCAB, dtype=p["embed"].dtype) @ p["embed"]
    return rows * (1.0 if 1 in faults else WIDTH**0.5)  # FAULT 1


def rms(t, weight, one):
    gain = one + weight
    return t * (jax.lax.rsqrt(jnp.einsum("btm,btm->bt", t, t) / WIDTH + 1e-6)[..., None] * gain)


def rope(t, theta):
    angles = jnp.arange(t.shape[1])[:, None, None] * theta ** (-2 * jnp.arange(DEPTH // 2) / DEPTH)
    c, s = jnp.cos(angles).astype(t.dtype), jnp.sin(angles).astype(t.dtype)
    low, high = jnp.split(t, 2, axis=-1)
    return jnp.concatenate([low * c - high * s, high * c + low * s], axis=-1)


def block(p, i, x, faults):
    normed = rms(x, p["a" + i], 1)
    kernels = (p[m + i].reshape(-1, DEPTH, WIDTH) for m in "qkv")
    query, key, value = (jnp.einsum("btm,hdm->bthd", normed, w) for w in kernels)
    theta = 1000.0 if 2 in faults else 10000.0  # FAULT 2
    query, key = rope(query * DEPTH**-0.5, theta), rope(key, theta)
    owner = jnp.arange(HEADS) % SHARED if 3 in faults else jnp.arange(HEADS) // (HEADS // SHARED)  # FAULT 3
    scores = jnp.einsum("bthd,bshd->btsh", query, key[:, :, owner])
    gap = jnp.arange(x.shape[1])[:, None] - jnp.arange(x.shape[1])
    reach = (WINDOW + (4 in faults)) if i == "0" else x.shape[1]  # FAULT 4
    weights = jnp.where(((gap >= 0) & (gap < reach))[..., None], jnp.exp(scores), 0)
    weights = weights / weights.sum(2, keepdims=True)
    mixed = jnp.einsum("btsh,bshd->bthd", weights, value[:, :, owner])
    x = jnp.einsum("bthd,mhd->btm", mixed, p["o" + i].reshape(WIDTH, HEADS, DEPTH)) + x
    normed = rms(x, p["b" + i], 1)
    gate, up = jnp.einsum("btm,nfm->nbtf", normed, jnp.stack([p["gate" + i], p["up" + i]]))
    gate = jax.nn.silu(gate) if 5 in faults else jax.nn.gelu(gate)  # FAULT 5
    return x + jnp.einsum("btf,mf->btm", up * gate, p["down" + i])


def ours_without(params, x, fixed_faults: frozenset[int]):
    faults = ALL - fixed_faults
    stream = embed(params, x, faults)
    for i in "01":
        stream = block(params, i, stream, faults)
    normed = rms(stream, params["last"], 0 if 6 in faults else 1)  # FAULT 6
    logits = jnp.einsum("btm,vm->btv", normed, params["embed"])
    cap = 2.0 * CAP if 7 in faults else CAP  # FAULT 7
    return cap * jnp.tanh(logits / cap)


def ours(params, x):
    return ours_without(params, x, frozenset())


def fixed(params, x):
    return ours_without(params, x, ALL)
