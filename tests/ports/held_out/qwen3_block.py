"""Qwen3 attention; queries and keys are normed after the rotary embedding instead of before it (torchtune #2809)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, SHARED, DEPTH, BASE = 4, 2, 16, 1000000.0


def inputs():
    r = np.random.default_rng(61)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda m: jnp.asarray(1 + 0.3 * r.normal(size=m), jnp.float32)
    params = {"q": 2 * n(64, 48), "k": 2 * n(32, 48), "v": n(32, 48), "o": n(48, 64)}
    params |= {"qn": gain(DEPTH), "kn": gain(DEPTH), "ln1": gain(48), "ln2": gain(48)}
    params |= {"gate": n(64, 48), "up": n(64, 48), "down": n(48, 64)}
    return params, jnp.asarray(r.normal(size=(2, 9, 48)), jnp.float32)


def reference(params, x):
    def norm(h, g):
        return g * (h * jax.lax.rsqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6))

    def rotate(t):
        first, second = t[..., : DEPTH // 2], t[..., DEPTH // 2 :]
        return t * cos + jnp.concatenate([-second, first], -1) * sin

    b, s, _ = x.shape
    inv = 1.0 / BASE ** (jnp.arange(0, DEPTH, 2, dtype=jnp.float32) / DEPTH)
    emb = jnp.tile(jnp.outer(jnp.arange(s, dtype=jnp.float32), inv), 2)
    cos, sin = jnp.cos(emb), jnp.sin(emb)
    h = norm(x, params["ln1"])
    q = norm((h @ params["q"].T).reshape(b, s, HEADS, DEPTH), params["qn"]).transpose(0, 2, 1, 3)
    k = norm((h @ params["k"].T).reshape(b, s, SHARED, DEPTH), params["kn"]).transpose(0, 2, 1, 3)
    v = (h @ params["v"].T).reshape(b, s, SHARED, DEPTH).transpose(0, 2, 1, 3)
    q, k = rotate(q), rotate(k)
    k, v = (jnp.repeat(t, HEADS // SHARED, axis=1) for t in (k, v))
    scores = q @ k.swapaxes(2, 3) / DEPTH**0.5 + jnp.triu(jnp.full((s, s), -1e9), 1)
    mixed = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(b, s, -1)
    x = x + mixed @ params["o"].T
    h = norm(x, params["ln2"])
    return x + (jax.nn.silu(h @ params["gate"].T) * (h @ params["up"].T)) @ params["down"].T


def root_mean_square(t):
    return jnp.sqrt(jnp.einsum("...d,...d->...", t, t)[..., None] / t.shape[-1] + 1e-6)


def rotations(length):
    angle = np.arange(length)[:, None, None] * BASE ** (-np.arange(DEPTH // 2) / (DEPTH // 2))
    c, s = (f(angle) * np.eye(DEPTH // 2) for f in (np.cos, np.sin))
    return jnp.asarray(np.block([[c, s], [-s, c]]), jnp.float32)


class SelfAttention:
    def __init__(self, params, right):
        self.p, self.right = params, right

    def project(self, x, name, gain, table):
        t = jnp.einsum("bsm,hdm->bhsd", x, self.p[name].reshape(-1, DEPTH, x.shape[-1]))
        if self.right:
            return jnp.einsum("bhsd,sde->bhse", t / root_mean_square(t) * gain, table)
        t = jnp.einsum("bhsd,sde->bhse", t, table)  # FAULT
        return t / root_mean_square(t) * gain  # FAULT

    def __call__(self, x):
        s = x.shape[1]
        table = rotations(s)
        q = self.project(x, "q", self.p["qn"], table).reshape(-1, SHARED, HEADS // SHARED, s, DEPTH)
        k = self.project(x, "k", self.p["kn"], table)
        v = jnp.einsum("bsm,gdm->bgsd", x, self.p["v"].reshape(SHARED, DEPTH, -1))
        scores = jnp.einsum("bgrqd,bgkd->bgrqk", q * DEPTH**-0.5, k)
        scores = jnp.where(np.tri(s, dtype=bool), scores, -jnp.inf)
        mixed = jnp.einsum("bgrqk,bgkd->bqgrd", jax.nn.softmax(scores), v)
        return jnp.einsum("bqgrd,mgrd->bqm", mixed, self.p["o"].reshape(-1, SHARED, HEADS // SHARED, DEPTH))


def _layer(params, x, right):
    x = SelfAttention(params, right)(x / root_mean_square(x) * params["ln1"]) + x
    h = x / root_mean_square(x) * params["ln2"]
    gate, up = jnp.einsum("bsm,tfm->tbsf", h, jnp.stack([params["gate"], params["up"]]))
    return jnp.einsum("bsf,mf->bsm", up * gate / (1 + jnp.exp(-gate)), params["down"]) + x


def ours(params, x):
    return _layer(params, x, right=False)


def fixed(params, x):
    return _layer(params, x, right=True)
