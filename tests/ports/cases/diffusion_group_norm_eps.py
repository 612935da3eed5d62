"""Stable Diffusion transformer; its GroupNorm has the default 1e-5 instead of 1e-6 (mlx-examples #1434)."""

import jax
import jax.numpy as jnp
import numpy as np

GROUPS, HEADS, DEPTH = 3, 4, 7


def inputs():
    r = np.random.default_rng(116)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    v = lambda s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"conv": 0.3 * n(24, 24, 3, 3), "conv_b": 0.2 * v(24), "g1": v(24, 1.0), "b1": v(24)}
    params |= {"g2": v(24, 1.0), "b2": v(24), "in": n(28, 24), "in_b": v(28)}
    params |= {"out": n(24, 28), "out_b": v(24)}
    params |= {"q": n(28, 28), "k": n(28, 28), "v": n(28, 28), "o": n(28, 28), "g3": v(28, 1.0), "b3": v(28)}
    return params, jnp.asarray(0.1 * r.normal(size=(2, 24, 5, 6)), jnp.float32)


def reference(params, x):
    def gn(t, i, eps):
        g = t.reshape(t.shape[0], GROUPS, -1)
        mean = g.mean(-1, keepdims=True)
        var = ((g - mean) ** 2).mean(-1, keepdims=True)
        g = ((g - mean) / jnp.sqrt(var + eps)).reshape(t.shape)
        return g * params[f"g{i}"][None, :, None, None] + params[f"b{i}"][None, :, None, None]

    b, c, h, w = x.shape
    y = jax.nn.silu(gn(x, 1, 1e-5))
    x = x + jax.lax.conv_general_dilated(y, params["conv"], (1, 1), "SAME") + params["conv_b"][:, None, None]
    t = gn(x, 2, 1e-6).reshape(b, c, h * w).transpose(0, 2, 1) @ params["in"].T + params["in_b"]
    u = t.mean(-1, keepdims=True)
    s = ((t - u) ** 2).mean(-1, keepdims=True)
    z = (t - u) / jnp.sqrt(s + 1e-5) * params["g3"] + params["b3"]
    q, k, v = ((z @ params[n].T).reshape(b, h * w, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    a = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / DEPTH**0.5, axis=-1) @ v
    t = t + a.transpose(0, 2, 1, 3).reshape(b, h * w, -1) @ params["o"].T
    return x + (t @ params["out"].T + params["out_b"]).transpose(0, 2, 1).reshape(b, c, h, w)


class GroupNorm:
    """Over (batch, pixels, channels)."""

    def __init__(self, gain, shift, eps=1e-5):
        self.gain, self.shift, self.eps = gain, shift, eps

    def __call__(self, x):
        grouped = x.reshape(*x.shape[:2], GROUPS, -1)
        count = grouped.shape[1] * grouped.shape[3]
        centred = grouped - jnp.einsum("bpgc->bg", grouped)[:, None, :, None] / count
        power = jnp.einsum("bpgc,bpgc->bg", centred, centred) / count
        inverse = jax.lax.rsqrt(power + self.eps)  # FAULT
        gain = inverse[..., None] * self.gain.reshape(GROUPS, -1)
        return (centred * gain[:, None]).reshape(x.shape) + self.shift


class SpatialTransformer:
    def __init__(self, params, options):
        self.p = params
        self.norm = GroupNorm(params["g2"], params["b2"], **options)  # FAULT

    def attention(self, t):
        q, k, v = (jnp.einsum("bpm,hdm->hbpd", t, self.p[n].reshape(HEADS, DEPTH, -1)) for n in "qkv")
        weights = jax.nn.softmax(jnp.einsum("hbqd,hbkd->hbqk", q * DEPTH**-0.5, k))
        return jnp.einsum("hbqk,hbkd,mhd->bqm", weights, v, self.p["o"].reshape(-1, HEADS, DEPTH))

    def __call__(self, x):
        t = jnp.einsum("bpc,mc->bpm", self.norm(x), self.p["in"]) + self.p["in_b"]
        t = self.attention(jax.nn.standardize(t, epsilon=1e-5) * self.p["g3"] + self.p["b3"]) + t
        return x + (jnp.einsum("bpm,cm->bpc", t, self.p["out"]) + self.p["out_b"])


def _unet_part(params, x, options):
    b, c, h, w = x.shape
    pixels = x.transpose(0, 2, 3, 1).reshape(b, h * w, c)
    y = GroupNorm(params["g1"], params["b1"])(pixels)
    y = jnp.pad((y * jax.nn.sigmoid(y)).reshape(b, h, w, c), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.stack([jnp.stack([y[:, i : i + h, j : j + w] for j in range(3)]) for i in range(3)])
    y = jnp.einsum("ijbhwc,ocij->bhwo", windows, params["conv"]) + params["conv_b"]
    pixels = pixels + y.reshape(b, h * w, c)
    out = SpatialTransformer(params, options)(pixels)
    return out.reshape(b, h, w, c).transpose(0, 3, 1, 2)


def ours(params, x):
    return _unet_part(params, x, options={})  # FAULT


def fixed(params, x):
    return _unet_part(params, x, options={"eps": 1e-6})
