"""GPT-J block; the angles are tiled (0 1 0 1) for neighbours that turn together (0 0 1 1) (vjepa2 #15)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, ROTARY = 2, 16, 8


def inputs():
    r = np.random.default_rng(102)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(32, 32), "k": n(32, 32), "v": n(32, 32), "o": n(32, 32)}
    params |= {"fc_in": n(64, 32), "fc_out": n(32, 64), "fc_in_b": 0.3 * n(64)}
    params |= {"fc_out_b": 0.3 * n(32), "beta": 0.3 * n(32)}
    params["gamma"] = jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 10, 32)), jnp.float32)


def reference(params, x):
    b, s, e = x.shape

    def rotate(t):
        pairs = t[..., :ROTARY].reshape(b, HEADS, s, ROTARY // 2, 2)
        theta = jnp.outer(jnp.arange(s), 1.0 / 10000 ** (jnp.arange(0, ROTARY, 2) / ROTARY))
        c, n = jnp.cos(theta), jnp.sin(theta)
        even, odd = pairs[..., 0], pairs[..., 1]
        turned = jnp.stack([even * c - odd * n, odd * c + even * n], -1).reshape(b, HEADS, s, ROTARY)
        return jnp.concatenate([turned, t[..., ROTARY:]], -1)

    mean = x.mean(-1, keepdims=True)
    h = (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    h = h * params["gamma"] + params["beta"]
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    w = rotate(q) @ rotate(k).transpose(0, 1, 3, 2)
    w = jnp.where(jnp.tril(jnp.ones((s, s))) > 0, w, -1e9) / DEPTH**0.5
    a = (jax.nn.softmax(w, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, e) @ params["o"].T
    m = jax.nn.gelu(h @ params["fc_in"].T + params["fc_in_b"], approximate=True)
    return a + (m @ params["fc_out"].T + params["fc_out_b"]) + x


def rotate_every_two(t):
    return jnp.stack((-t[..., 1::2], t[..., ::2]), axis=-1).reshape(t.shape)


class Rotary:
    def __init__(self, length, right):
        timescale = jnp.exp(jnp.arange(ROTARY // 2) * (-2 * np.log(10000.0) / ROTARY))
        angles = jnp.einsum("i,j->ij", jnp.arange(length, dtype=jnp.float32), timescale)
        if right:
            angles = jnp.repeat(angles, 2, axis=-1)
        else:
            angles = jnp.concatenate([angles, angles], axis=-1)  # FAULT
        self.sin, self.cos = jnp.sin(angles)[:, None], jnp.cos(angles)[:, None]

    def __call__(self, t):
        rot, rest = jnp.split(t, [ROTARY], axis=-1)
        rot = rotate_every_two(rot) * self.sin + rot * self.cos  # FAULT
        return jnp.concatenate([rot, rest], axis=-1)


def _block(params, x, right):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) - mean**2 + 1e-5) * params["gamma"]
    normed = x * scale + (params["beta"] - mean * scale)
    heads = lambda name: jnp.einsum("btm,hdm->bthd", normed, params[name].reshape(HEADS, DEPTH, -1))
    rotary = Rotary(x.shape[1], right)
    query, key = rotary(heads("q")) * DEPTH**-0.5, rotary(heads("k"))
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key)
    steps = jnp.arange(x.shape[1])
    scores = jnp.where(steps[None] > steps[:, None], -jnp.inf, scores)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), heads("v"))
    out = jnp.einsum("bqhd,mhd->bqm", mixed, params["o"].reshape(-1, HEADS, DEPTH)) + x
    u = jnp.einsum("btm,fm->btf", normed, params["fc_in"]) + params["fc_in_b"]
    u = 0.5 * u * (1 + jnp.tanh(np.sqrt(2 / np.pi) * u * (1 + 0.044715 * u * u)))
    return out + jnp.einsum("btf,mf->btm", u, params["fc_out"]) + params["fc_out_b"]


def ours(params, x):
    return _block(params, x, right=False)


def fixed(params, x):
    return _block(params, x, right=True)
