"""Whisper encoder; the sinusoids' rates are spread over half the width, not half less one (wenet #2141)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, MELS = 3, 10, 12


def inputs():
    r = np.random.default_rng(114)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    v = lambda s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"conv1": n(30, MELS, 3) / 3, "conv1_b": v(30), "conv2": n(30, 30, 3) / 4, "conv2_b": v(30)}
    params |= {"q": n(30, 30), "k": n(30, 30), "v": n(30, 30), "o": n(30, 30)}
    params |= {"qb": v(30), "vb": v(30), "ob": v(30)}
    params |= {"fc1": n(50, 30), "fc2": n(30, 50), "b1": v(50), "b2": v(30)}
    params |= {f"g{i}": v(30, 1.0) for i in range(3)} | {f"s{i}": v(30) for i in range(3)}
    return params, jnp.asarray(r.normal(size=(2, MELS, 18)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        u = t.mean(-1, keepdims=True)
        s = ((t - u) ** 2).mean(-1, keepdims=True)
        return (t - u) / jnp.sqrt(s + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    def conv(t, name, stride):
        y = jax.lax.conv_general_dilated(t, params[name], (stride,), [(1, 1)])
        return jax.nn.gelu(y + params[name + "_b"][:, None], approximate=False)

    h = conv(conv(x, "conv1", 1), "conv2", 2).transpose(0, 2, 1)
    b, s, e = h.shape
    increment = np.log(10000).item() / (e // 2 - 1)
    time = jnp.arange(s)[:, None] * jnp.exp(-increment * jnp.arange(e // 2))
    h = h + jnp.concatenate([jnp.sin(time), jnp.cos(time)], axis=1)
    z = ln(h, 0)
    q, k, v = z @ params["q"].T + params["qb"], z @ params["k"].T, z @ params["v"].T + params["vb"]
    q, k, v = (t.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for t in (q, k, v))
    w = jax.nn.softmax((q * DEPTH**-0.25) @ (k * DEPTH**-0.25).transpose(0, 1, 3, 2), axis=-1)
    h = h + (w @ v).transpose(0, 2, 1, 3).reshape(b, s, e) @ params["o"].T + params["ob"]
    z = jax.nn.gelu(ln(h, 1) @ params["fc1"].T + params["b1"], approximate=False)
    return ln(h + z @ params["fc2"].T + params["b2"], 2)


def sinusoids(length, width, steps):
    half = width // 2
    rate = jnp.power(10000.0, -jnp.arange(half) / steps)  # FAULT
    angle = jnp.einsum("t,r->tr", jnp.arange(length), rate)
    return jnp.stack([jnp.sin(angle), jnp.sin(angle + np.pi / 2)], axis=1).reshape(length, width)


def convolve(frames, kernel, bias, stride):
    """(batch, time, in), three taps, as one product with the neighbours side by side."""
    padded = jnp.pad(frames, ((0, 0), (1, 1), (0, 0)))
    taps = jnp.stack([padded[:, i : i + frames.shape[1] : stride] for i in range(3)])
    y = jnp.einsum("kbti,oik->bto", taps, kernel) + bias
    return 0.5 * y * jax.lax.erfc(-y * 0.5**0.5)


class EncoderLayer:
    def __init__(self, params):
        self.p = params

    def norm(self, t, i):
        return jax.nn.standardize(t, axis=-1, epsilon=1e-5) * self.p[f"g{i}"] + self.p[f"s{i}"]

    def __call__(self, h):
        z, heads = self.norm(h, 0), (HEADS, DEPTH)
        query = jnp.einsum("btm,hdm->bthd", z, self.p["q"].reshape(*heads, -1)) + self.p["qb"].reshape(heads)
        key = jnp.einsum("btm,hdm->bthd", z, self.p["k"].reshape(*heads, -1))
        value = jnp.einsum("btm,hdm->bthd", z, self.p["v"].reshape(*heads, -1)) + self.p["vb"].reshape(heads)
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / DEPTH**0.5
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)
        h = h + jnp.einsum("bqhd,mhd->bqm", mixed, self.p["o"].reshape(-1, *heads)) + self.p["ob"]
        z = jnp.einsum("btm,fm->btf", self.norm(h, 1), self.p["fc1"]) + self.p["b1"]
        z = 0.5 * z * jax.lax.erfc(-z * 0.5**0.5)
        return self.norm(h + (jnp.einsum("btf,mf->btm", z, self.p["fc2"]) + self.p["b2"]), 2)


def _encode(params, x, spread):
    h = convolve(x.swapaxes(1, 2), params["conv1"], params["conv1_b"], 1)
    h = convolve(h, params["conv2"], params["conv2_b"], 2)
    h = h + sinusoids(h.shape[1], h.shape[2], spread(h.shape[2] // 2)).astype(h.dtype)
    return EncoderLayer(params)(h)


def ours(params, x):
    return _encode(params, x, spread=lambda half: half)  # FAULT


def fixed(params, x):
    return _encode(params, x, spread=lambda half: half - 1)
