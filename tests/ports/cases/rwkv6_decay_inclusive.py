"""RWKV-6 time mixing; the parallel form decays by the query's own step too (flash-linear-attention #36)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 3, 10


def inputs():
    r = np.random.default_rng(108)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    wide = HEADS * DEPTH
    params = {"r": n(wide, 30), "k": n(wide, 30), "v": n(wide, 30), "g": n(wide, 30), "o": n(30, wide)}
    params |= {"w1": n(5, 30), "w2": n(wide, 5)}
    params["mix"] = jnp.asarray(r.uniform(0.2, 0.8, size=30), jnp.float32)
    params["w0"] = jnp.asarray(r.uniform(-2.5, 0.0, size=wide), jnp.float32)
    params["u"] = jnp.asarray(0.5 * r.normal(size=(HEADS, DEPTH)), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 11, 30)), jnp.float32)


def reference(params, x):
    b, length, _ = x.shape
    last = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    h = x + (last - x) * params["mix"]
    r, k, v = ((h @ params[n].T).reshape(b, length, HEADS, DEPTH) for n in "rkv")
    g = jax.nn.silu(h @ params["g"].T)
    w = params["w0"] + jnp.tanh(h @ params["w1"].T) @ params["w2"].T
    w = jnp.exp(-jnp.exp(w)).reshape(b, length, HEADS, DEPTH)
    state = jnp.zeros((b, HEADS, DEPTH, DEPTH), x.dtype)
    outs = []
    for t in range(length):
        kv = k[:, t, :, :, None] * v[:, t, :, None, :]
        seen = state + params["u"][:, :, None] * kv
        outs.append(jnp.sum(r[:, t, :, :, None] * seen, axis=2))
        state = w[:, t, :, :, None] * state + kv
    y = jnp.stack(outs, axis=1)
    y = y / jnp.sqrt(jnp.mean(y**2, axis=-1, keepdims=True) + 1e-5)
    return (y.reshape(b, length, -1) * g) @ params["o"].T


class TimeMix:
    """All pairs of steps at once, from sums of the log decays."""

    def __init__(self, params, right):
        self.p, self.right = params, right

    def heads(self, t, name):
        return jnp.einsum("bsm,hdm->bhsd", t, self.p[name].reshape(HEADS, DEPTH, -1))

    def log_decay(self, t):
        low = jnp.tanh(jnp.einsum("bsm,rm->bsr", t, self.p["w1"]))
        raw = jnp.einsum("bsr,hdr->bhsd", low, self.p["w2"].reshape(HEADS, DEPTH, -1))
        return -jnp.exp(raw + self.p["w0"].reshape(HEADS, 1, DEPTH))

    def pairs(self, r, k, decay):
        total = jnp.cumsum(decay, axis=2)
        upto = total - decay if self.right else total  # FAULT
        gap = upto[:, :, :, None] - total[:, :, None]  # FAULT
        past = jnp.tril(jnp.ones((r.shape[2], r.shape[2]), bool), -1)[..., None]
        kept = jnp.exp(jnp.where(past, gap, -jnp.inf))
        bonus = jnp.einsum("bhtd,hd,bhtd->bht", r, self.p["u"], k)
        older = jnp.einsum("bhtd,bhtsd,bhsd->bhts", r, kept, k)
        return older + bonus[..., None] * jnp.eye(r.shape[2], dtype=r.dtype)

    def __call__(self, x):
        mix = self.p["mix"]
        t = jnp.concatenate([x[:, :1] * 0, x[:, :-1]], axis=1) * mix + x * (1 - mix)
        scores = self.pairs(self.heads(t, "r"), self.heads(t, "k"), self.log_decay(t))
        y = jnp.einsum("bhts,bhsd->bthd", scores, self.heads(t, "v"))
        y = y * jax.lax.rsqrt(jnp.einsum("bthd,bthd->bth", y, y)[..., None] / DEPTH + 1e-5)
        gate = jnp.einsum("bsm,hdm->bshd", t, self.p["g"].reshape(HEADS, DEPTH, -1))
        gated = y * gate / (1 + jnp.exp(-gate))
        return jnp.einsum("bshd,mhd->bsm", gated, self.p["o"].reshape(-1, HEADS, DEPTH))


def ours(params, x):
    return TimeMix(params, right=False)(x)


def fixed(params, x):
    return TimeMix(params, right=True)(x)
