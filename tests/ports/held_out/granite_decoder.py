"""Granite decoder; the residual multiplier scales attention but not the feed-forward (CTranslate2 #1882)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, SHARED, DEPTH = 4, 2, 8
ATTENTION, RESIDUAL, LOGITS = 0.21, 0.42, 3.0


def inputs():
    r = np.random.default_rng(101)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda: jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32)
    params = {"q": n(32, 32), "k": n(16, 32), "v": n(16, 32), "o": n(32, 32), "gate": n(56, 32), "up": n(56, 32)}
    params |= {"down": n(32, 56), "head": n(40, 32), "n1": gain(), "n2": gain(), "n3": gain()}
    return params, jnp.asarray(r.normal(size=(2, 9, 32)), jnp.float32)


def reference(params, x):
    def norm(h, g):
        return g * (h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-5))

    def rotate(t):
        inv = 1.0 / 10000.0 ** (jnp.arange(0, DEPTH, 2, dtype=jnp.float32) / DEPTH)
        emb = jnp.tile(jnp.outer(jnp.arange(t.shape[2]), inv), 2)
        turned = jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
        return t * jnp.cos(emb) + turned * jnp.sin(emb)

    b, s, e = x.shape
    h = norm(x, params["n1"])
    q, k, v = ((h @ params[n].T).reshape(b, s, -1, DEPTH).swapaxes(1, 2) for n in "qkv")
    q, k = rotate(q), rotate(k)
    k, v = jnp.repeat(k, HEADS // SHARED, 1), jnp.repeat(v, HEADS // SHARED, 1)
    att = q @ k.swapaxes(2, 3) * ATTENTION + jnp.triu(jnp.full((s, s), -1e30), 1)
    y = (jax.nn.softmax(att, axis=-1) @ v).swapaxes(1, 2).reshape(b, s, e)
    x = x + (y @ params["o"].T) * RESIDUAL
    h = norm(x, params["n2"])
    y = (jax.nn.silu(h @ params["gate"].T) * (h @ params["up"].T)) @ params["down"].T
    x = x + y * RESIDUAL
    return norm(x, params["n3"]) @ params["head"].T / LOGITS


def rms_norm(t, weight):
    return weight * t / jnp.sqrt(jnp.einsum("...m,...m->...", t, t)[..., None] / t.shape[-1] + 1e-5)


def rope(t, positions):
    timescale = jnp.power(10000.0, -2.0 * jnp.arange(DEPTH // 2) / DEPTH)
    angle = (positions[:, None] * timescale).reshape(-1, *(1,) * (t.ndim - 3), DEPTH // 2)
    lower, upper = jnp.split(t, 2, axis=-1)
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([c * lower - s * upper, c * upper + s * lower], axis=-1)


class DecoderLayer:
    def __init__(self, params, right):
        self.p, self.right = params, right

    def attention(self, h):
        grouped = self.p["q"].reshape(SHARED, HEADS // SHARED, DEPTH, -1)
        positions = jnp.arange(h.shape[1])
        q = rope(jnp.einsum("bsm,grdm->bsgrd", h, grouped), positions) * ATTENTION
        k = rope(jnp.einsum("bsm,gdm->bsgd", h, self.p["k"].reshape(SHARED, DEPTH, -1)), positions)
        v = jnp.einsum("bsm,gdm->bsgd", h, self.p["v"].reshape(SHARED, DEPTH, -1))
        scores = jnp.where(positions <= positions[:, None], jnp.einsum("bqgrd,bkgd->bgrqk", q, k), -jnp.inf)
        mixed = jnp.einsum("bgrqk,bkgd->bqgrd", jax.nn.softmax(scores), v)
        return jnp.einsum("bqgrd,mgrd->bqm", mixed, self.p["o"].reshape(-1, SHARED, HEADS // SHARED, DEPTH))

    def __call__(self, x):
        x = RESIDUAL * self.attention(rms_norm(x, self.p["n1"])) + x
        h = rms_norm(x, self.p["n2"])
        gate, up = (jnp.einsum("bsm,fm->bsf", h, self.p[n]) for n in ("gate", "up"))
        branch = jnp.einsum("bsf,mf->bsm", gate * up * jax.nn.sigmoid(gate), self.p["down"])  # FAULT
        if self.right:
            branch = RESIDUAL * branch
        return branch + x  # FAULT


def _logits(params, x, right):
    hidden = DecoderLayer(params, right)(x)
    return jnp.einsum("bsm,vm->bsv", rms_norm(hidden, params["n3"]) * (1.0 / LOGITS), params["head"])


def ours(params, x):
    return _logits(params, x, right=False)


def fixed(params, x):
    return _logits(params, x, right=True)
