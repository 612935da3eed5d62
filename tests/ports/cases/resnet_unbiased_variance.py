"""ResNet bottleneck in training; BatchNorm divides by the unbiased variance (which one: pytorch #19902)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDE, NARROW, EPS = 32, 16, 1e-5


def inputs():
    r = np.random.default_rng(301)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    params = {"conv1": n(NARROW, WIDE, 1, 1), "conv2": n(NARROW, NARROW, 3, 3)}
    params["conv3"] = n(WIDE, NARROW, 1, 1)
    for name, c in (("bn1", NARROW), ("bn2", NARROW), ("bn3", WIDE)):
        params[name + ".weight"] = jnp.asarray(r.uniform(0.6, 1.4, c), jnp.float32)
        params[name + ".bias"] = jnp.asarray(0.2 * r.normal(size=c), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, WIDE, 2, 2)), jnp.float32)


def reference(params, x):
    def conv(h, name, padding):
        return jax.lax.conv_general_dilated(h, params[name], (1, 1), [(padding, padding)] * 2)

    def bn(h, name):
        mean = h.mean(axis=(0, 2, 3), keepdims=True)
        var = h.var(axis=(0, 2, 3), keepdims=True)
        h = (h - mean) / jnp.sqrt(var + EPS)
        return h * params[name + ".weight"][:, None, None] + params[name + ".bias"][:, None, None]

    out = jax.nn.relu(bn(conv(x, "conv1", 0), "bn1"))
    out = jax.nn.relu(bn(conv(out, "conv2", 1), "bn2"))
    out = bn(conv(out, "conv3", 0), "bn3")
    return jax.nn.relu(out + x)


class SampleNorm:
    """Statistics over all axes but the last."""

    def __init__(self, params, name):
        self.gain, self.shift = params[name + ".weight"], params[name + ".bias"]

    def spread(self, centred):
        return jnp.einsum("nyxc,nyxc->c", centred, centred) / (centred[..., 0].size - 1)  # FAULT

    def __call__(self, t):
        pixels = t[..., 0].size
        centred = t - jnp.einsum("nyxc->c", t) / pixels
        return centred * (self.gain * jax.lax.rsqrt(self.spread(centred) + EPS)) + self.shift  # FAULT


class BatchNorm(SampleNorm):
    def spread(self, centred):
        return jnp.einsum("nyxc,nyxc->c", centred, centred) / centred[..., 0].size


def _pointwise(kernel, t):
    return jnp.einsum("oi,nyxi->nyxo", kernel[:, :, 0, 0], t)


def _three_by_three(kernel, t):
    height, width = t.shape[1:3]
    framed = jnp.pad(t, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [framed[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.einsum("knyxi,oik->nyxo", jnp.stack(shifted), kernel.reshape(*kernel.shape[:2], 9))


def _bottleneck(params, x, norm):
    image = jnp.moveaxis(x, 1, -1)
    t = jnp.maximum(norm(params, "bn1")(_pointwise(params["conv1"], image)), 0)
    t = jnp.maximum(norm(params, "bn2")(_three_by_three(params["conv2"], t)), 0)
    t = norm(params, "bn3")(_pointwise(params["conv3"], t))
    return jnp.moveaxis(jnp.maximum(image + t, 0), -1, 1)


def ours(params, x):
    return _bottleneck(params, x, SampleNorm)


def fixed(params, x):
    return _bottleneck(params, x, BatchNorm)
