"""YaRN; the scaling factor is under the exponent along with the base (tvm #18576)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Yarn(NamedTuple):
    heads: int = 3
    depth: int = 16
    theta: float = 500.0
    factor: float = 6.0
    original: int = 64
    fast: float = 4.0
    slow: float = 0.5
    factor_outside: bool = False


def inputs():
    r = np.random.default_rng(117)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": 2 * n(48, 37), "k": 2 * n(48, 37), "v": n(48, 37), "o": n(37, 48)}
    params |= {k: 0.1 * n(48) for k in ("bq", "bk", "bv")}
    return params, jnp.asarray(r.normal(size=(2, 14, 37)), jnp.float32)


def reference(params, x):
    (b, s, _), dim, base, scale = x.shape, 16, 500.0, 6.0
    find = lambda turns: dim * np.log(64 / (turns * 2 * np.pi)) / (2 * np.log(base))
    low, high = max(find(4.0), 0), min(find(0.5), dim - 1)
    pos_freqs = base ** (np.arange(0, dim, 2) / dim)
    keep = 1 - np.clip((np.arange(dim // 2) - low) / (high - low), 0, 1)
    inv_freq = (1 / (scale * pos_freqs)) * (1 - keep) + (1 / pos_freqs) * keep
    freqs = np.outer(np.arange(s), inv_freq)
    emb = np.concatenate([freqs, freqs], axis=-1)
    attention_factor = 0.1 * np.log(scale) + 1
    cos = jnp.asarray(np.cos(emb) * attention_factor, x.dtype)
    sin = jnp.asarray(np.sin(emb) * attention_factor, x.dtype)
    q, k, v = ((x @ params[n].T + params["b" + n]).reshape(b, s, 3, dim).swapaxes(1, 2) for n in "qkv")
    rotate_half = lambda t: jnp.concatenate([-t[..., dim // 2 :], t[..., : dim // 2]], axis=-1)
    q, k = (t * cos + rotate_half(t) * sin for t in (q, k))
    scores = jnp.where(np.tri(s, dtype=bool), q @ k.swapaxes(2, 3) * dim**-0.5, jnp.finfo(x.dtype).min)
    y = jax.nn.softmax(scores, axis=-1) @ v
    return y.swapaxes(1, 2).reshape(b, s, -1) @ params["o"].T


class Rotary:
    def __init__(self, config):
        self.c = config

    def frequencies(self):
        c = self.c
        share = jnp.arange(c.depth // 2) * (2.0 / c.depth)
        plain = jnp.exp(-np.log(c.theta) * share)
        stretched = jnp.exp(-np.log(c.theta * c.factor) * share)  # FAULT
        if c.factor_outside:
            stretched = plain / c.factor
        turns = lambda count: c.depth / 2 * np.log(c.original / (2 * np.pi * count)) / np.log(c.theta)
        reach = (jnp.arange(c.depth // 2) - turns(c.fast)) / (turns(c.slow) - turns(c.fast))
        ramp = jnp.clip(reach, 0, 1)
        return plain + ramp * (stretched - plain)  # FAULT

    def __call__(self, t, size):
        """[batch, time, heads, depth]; both halves as one complex number, times e^(i angle)."""
        angles = jnp.einsum("t,d->td", jnp.arange(t.shape[1]) * 1.0, self.frequencies())
        cos, sin = ((size * f(angles)[:, None]).astype(t.dtype) for f in (jnp.cos, jnp.sin))
        real, imaginary = jnp.split(t, 2, axis=-1)
        return jnp.concatenate([cos * real - sin * imaginary, sin * real + cos * imaginary], axis=-1)


def _attention(params, x, config):
    def project(name):
        kernel = params[name].reshape(config.heads, config.depth, -1)
        return jnp.einsum("btm,hdm->bthd", x, kernel) + params["b" + name].reshape(config.heads, -1)

    rotary = Rotary(config)
    sharper = (1 + 0.1 * float(np.log(config.factor))) ** 2
    query = rotary(project("q"), sharper * config.depth**-0.5)
    scores = jnp.einsum("bthd,bshd->bhts", query, rotary(project("k"), 1.0))
    causal = jnp.arange(x.shape[1])[:, None] >= jnp.arange(x.shape[1])
    weights = jnp.exp(jax.nn.log_softmax(scores + jnp.where(causal, 0, -jnp.inf).astype(x.dtype)))
    mixed = jnp.einsum("bhts,bshd->bthd", weights, project("v"))
    return jnp.einsum("bthd,mhd->btm", mixed, params["o"].reshape(-1, config.heads, config.depth))


def ours(params, x):
    return _attention(params, x, Yarn())


def fixed(params, x):
    return _attention(params, x, Yarn(factor_outside=True))
