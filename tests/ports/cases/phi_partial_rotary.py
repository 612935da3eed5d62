"""Phi block; partial_rotary_factor is not read: all of each head is turned (mlx-lm #1698, maxtext #4616)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, FACTOR = 3, 20, 0.4


def inputs():
    r = np.random.default_rng(104)
    n = lambda *s: jnp.asarray(1.4 * r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(60, 44), "k": n(60, 44), "v": n(60, 44), "dense": n(44, 60)}
    params |= {"fc1": n(52, 44), "fc2": n(44, 52)}
    params |= {"bq": 0.3 * n(60), "bk": 0.3 * n(60), "bv": 0.3 * n(60)}
    params |= {"b1": 0.3 * n(52), "beta": 0.3 * n(44)}
    params["gamma"] = jnp.asarray(1 + 0.1 * r.normal(size=44), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 9, 44)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    h = (x - mean) / jnp.sqrt(var + 1e-5) * params["gamma"] + params["beta"]
    q, k, v = (h @ params[n].T + params["b" + n] for n in "qkv")
    q, k, v = (t.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for t in (q, k, v))
    rot = int(FACTOR * DEPTH)
    inv = 1.0 / 10000.0 ** (jnp.arange(0, rot, 2) / rot)
    emb = jnp.tile(jnp.outer(jnp.arange(s), inv), (1, 2))

    def apply(t):
        part, rest = t[..., :rot], t[..., rot:]
        flipped = jnp.concatenate([-part[..., rot // 2 :], part[..., : rot // 2]], axis=-1)
        return jnp.concatenate([part * jnp.cos(emb) + flipped * jnp.sin(emb), rest], axis=-1)

    att = apply(q) @ apply(k).swapaxes(2, 3) / DEPTH**0.5
    att = jnp.where(jnp.tril(jnp.ones((s, s))) == 0, -jnp.inf, att)
    y = (jax.nn.softmax(att, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    mlp = jax.nn.gelu(h @ params["fc1"].T + params["b1"], approximate=True) @ params["fc2"].T
    return y @ params["dense"].T + mlp + x


def rotations(length, rotary):
    """(length, depth, depth): for each position the matrix that turns a head, the identity past `rotary`."""
    half = rotary // 2
    angle = jnp.arange(length)[:, None] * jnp.power(10000.0, -jnp.arange(half) / half)
    low = jnp.arange(half)
    turn = jnp.tile(jnp.eye(DEPTH), (length, 1, 1)).astype(angle.dtype)
    turn = turn.at[:, low, low].set(jnp.cos(angle)).at[:, low + half, low + half].set(jnp.cos(angle))
    return turn.at[:, low, low + half].set(-jnp.sin(angle)).at[:, low + half, low].set(jnp.sin(angle))


def layer_norm(x, gamma, beta):
    centred = x - jnp.einsum("bsm->bs", x)[..., None] / x.shape[-1]
    power = jnp.einsum("bsm,bsm->bs", centred, centred) / x.shape[-1]
    return centred * (jax.lax.rsqrt(power + 1e-5)[..., None] * gamma) + beta


def _block(params, x, factor):
    normed = layer_norm(x, params["gamma"], params["beta"])
    turn = rotations(x.shape[1], int(factor * DEPTH))  # FAULT

    def head(q, k, v, bq, bk, bv, out):
        query = jnp.einsum("sij,bsj->bsi", turn, normed @ q.T + bq) * DEPTH**-0.5
        key = jnp.einsum("sij,bsj->bsi", turn, normed @ k.T + bk)
        scores = jnp.einsum("bqd,bkd->bqk", query, key)
        future = jnp.arange(x.shape[1])[None, :] > jnp.arange(x.shape[1])[:, None]
        weights = jnp.exp(jax.nn.log_softmax(scores + jnp.where(future, -1e30, 0.0)))
        return jnp.einsum("bqk,bkd,md->bqm", weights, normed @ v.T + bv, out)

    split = [params[n].reshape(HEADS, DEPTH, *params[n].shape[1:]) for n in ("q", "k", "v", "bq", "bk", "bv")]
    out = params["dense"].reshape(-1, HEADS, DEPTH).transpose(1, 0, 2)
    attended = jax.vmap(head)(*split, out).sum(0)
    hidden = jax.nn.gelu(jnp.einsum("bsm,fm->bsf", normed, params["fc1"]) + params["b1"])
    return x + (attended + jnp.einsum("bsf,mf->bsm", hidden, params["fc2"]))


def ours(params, x):
    return _block(params, x, factor=1.0)  # FAULT


def fixed(params, x):
    return _block(params, x, factor=FACTOR)
