"""Diffusion U-Net; attention_head_dim is passed on as the number of heads, not the width of each (diffusers #2011)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, GROUPS, HEAD_DIM = 32, 4, 8


def inputs():
    r = np.random.default_rng(68)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    k = lambda: jnp.asarray(r.normal(size=(3, 3, WIDTH, WIDTH)) / np.sqrt(9 * WIDTH), jnp.float32)
    params = {"c1": k(), "c2": k(), "bc1": 0.3 * n(WIDTH), "bc2": 0.3 * n(WIDTH)}
    params |= {"time": n(WIDTH, 16), "temb": n(2, 16) * 4}
    params |= {"q": 2 * n(WIDTH, WIDTH), "k": 2 * n(WIDTH, WIDTH), "v": n(WIDTH, WIDTH), "o": n(WIDTH, WIDTH)}
    params |= {f"b{m}": 0.3 * n(WIDTH) for m in "qkvo"} | {f"s{i}": n(WIDTH) for i in range(3)}
    params |= {f"g{i}": jnp.asarray(1 + 0.2 * r.normal(size=WIDTH), jnp.float32) for i in range(3)}
    return params, jnp.asarray(r.normal(size=(2, 4, 5, WIDTH)), jnp.float32)


def reference(params, x):
    def norm(t, i):
        b, h, w, c = t.shape
        t = t.reshape(b, h * w, GROUPS, c // GROUPS)
        mean = t.mean((1, 3), keepdims=True)
        t = (t - mean) / jnp.sqrt(jnp.square(t - mean).mean((1, 3), keepdims=True) + 1e-6)
        return t.reshape(b, h, w, c) * params[f"g{i}"] + params[f"s{i}"]

    def conv(t, i):
        t = jax.lax.conv(t.transpose(0, 3, 1, 2), params[f"c{i}"].transpose(3, 2, 0, 1), (1, 1), "SAME")
        return t.transpose(0, 2, 3, 1) + params[f"bc{i}"]

    h = conv(jax.nn.silu(norm(x, 0)), 1)
    h = h + (jax.nn.silu(params["temb"]) @ params["time"].T)[:, None, None, :]
    x = x + conv(jax.nn.silu(norm(h, 1)), 2)
    b, height, width, c = x.shape
    t = norm(x, 2).reshape(b, height * width, c)
    q, k, v = (t @ params[m].T + params[f"b{m}"] for m in "qkv")
    q, k, v = (m.reshape(b, -1, c // HEAD_DIM, HEAD_DIM).transpose(0, 2, 1, 3) for m in (q, k, v))
    t = jax.nn.softmax(q @ k.swapaxes(2, 3) / np.sqrt(HEAD_DIM), axis=-1) @ v
    return x + (t.transpose(0, 2, 1, 3).reshape(x.shape) @ params["o"].T + params["bo"])


def group_norm(image, gain, shift):
    grouped = image.reshape(image.shape[0], GROUPS, -1, *image.shape[2:])
    mean = grouped.mean((2, 3, 4), keepdims=True)
    inverse = jax.lax.rsqrt(jnp.mean(grouped * grouped, (2, 3, 4), keepdims=True) - mean * mean + 1e-6)
    return ((grouped - mean) * inverse).reshape(image.shape) * gain[:, None, None] + shift[:, None, None]


def conv3x3(image, kernel, bias):
    height, width = image.shape[2:]
    padded = jnp.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    taps = jnp.stack([padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)])
    return jnp.einsum("tnchw,tcd->ndhw", taps, kernel.reshape(9, *kernel.shape[2:])) + bias[:, None, None]


class SpatialAttention:
    def __init__(self, params, heads):
        self.p, self.heads = params, heads

    def project(self, t, m):
        t = jnp.einsum("dc,ncs->nds", self.p[m], t) + self.p[f"b{m}"][:, None]
        return t.reshape(t.shape[0], self.heads, -1, t.shape[-1])  # FAULT

    def __call__(self, t):
        q, k, v = (self.project(t, m) for m in "qkv")
        scores = jnp.einsum("nhdq,nhdk->nhqk", q * q.shape[2] ** -0.5, k)  # FAULT
        mixed = jnp.einsum("nhqk,nhdk->nhdq", jax.nn.softmax(scores), v).reshape(t.shape)
        return jnp.einsum("dc,ncs->nds", self.p["o"], mixed) + self.p["bo"][:, None]


def _mid(params, x, heads):
    swish = lambda t: t / (1 + jnp.exp(-t))
    image = x.transpose(0, 3, 1, 2)
    time = jnp.einsum("ne,ce->nc", swish(params["temb"]), params["time"])
    hidden = conv3x3(swish(group_norm(image, params["g0"], params["s0"])), params["c1"], params["bc1"])
    hidden = swish(group_norm(hidden + time[..., None, None], params["g1"], params["s1"]))
    image = conv3x3(hidden, params["c2"], params["bc2"]) + image
    flat = group_norm(image, params["g2"], params["s2"]).reshape(*image.shape[:2], -1)
    return (SpatialAttention(params, heads)(flat).reshape(image.shape) + image).transpose(0, 2, 3, 1)


def ours(params, x):
    return _mid(params, x, heads=HEAD_DIM)  # FAULT


def fixed(params, x):
    return _mid(params, x, heads=WIDTH // HEAD_DIM)
