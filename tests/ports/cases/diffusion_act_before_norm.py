"""Diffusion ResNet block; the activation is applied by the convolution, before GroupNorm (AiDotNet #1299)."""

import jax
import jax.numpy as jnp
import numpy as np

GROUPS = 3


def inputs():
    r = np.random.default_rng(103)
    n = lambda *s, fan: jnp.asarray(r.normal(size=s) / np.sqrt(fan), jnp.float32)
    params = {"c1": n(24, 10, 3, 3, fan=90), "c2": n(24, 24, 3, 3, fan=216), "skip": n(24, 10, fan=10)}
    params |= {"t": n(48, 20, fan=20), "tb": 0.1 * n(48, fan=1)}
    params |= {k: 0.1 * n(24, fan=1) for k in ("b1", "b2")}
    params |= {k: jnp.asarray(1 + 0.2 * r.normal(size=24), jnp.float32) for k in ("g1", "g2")}
    params |= {k: 0.2 * n(24, fan=1) for k in ("s1", "s2")}
    x = {"image": r.normal(size=(2, 10, 7, 9)), "time": r.normal(size=(2, 20))}
    return params, {k: jnp.asarray(v, jnp.float32) for k, v in x.items()}


def reference(params, x):
    def conv(t, w, b):
        h, wd = t.shape[2:]
        t = jnp.pad(t, ((0, 0), (0, 0), (1, 1), (1, 1)))
        y = b[:, None, None]
        for i in range(3):
            for j in range(3):
                y = y + jnp.einsum("bihw,oi->bohw", t[:, :, i : i + h, j : j + wd], w[:, :, i, j])
        return y

    def group_norm(t, g, s):
        b, c, h, w = t.shape
        t = t.reshape(b, GROUPS, -1)
        t = (t - t.mean(-1, keepdims=True)) / jnp.sqrt(t.var(-1, keepdims=True) + 1e-5)
        return t.reshape(b, c, h, w) * g[:, None, None] + s[:, None, None]

    image = x["image"]
    emb = jax.nn.silu(x["time"]) @ params["t"].T + params["tb"]
    scale, shift = jnp.split(emb[:, :, None, None], 2, axis=1)
    h = group_norm(conv(image, params["c1"], params["b1"]), params["g1"], params["s1"])
    h = jax.nn.silu(h * (scale + 1) + shift)
    h = jax.nn.silu(group_norm(conv(h, params["c2"], params["b2"]), params["g2"], params["s2"]))
    return h + jnp.einsum("bihw,oi->bohw", image, params["skip"])


def swish(t):
    return t / (1 + jnp.exp(-t))


class ConvBlock:
    """Convolution, group norm, modulation and activation; channels last."""

    def __init__(self, params, index, right):
        self.kernel = jnp.transpose(params[f"c{index}"], (2, 3, 1, 0))
        self.bias, self.gain, self.offset = (params[f"{k}{index}"] for k in "bgs")
        self.right = right

    def normalise(self, t):
        n, h, w, c = t.shape
        parts = t.reshape(n, h * w, GROUPS, c // GROUPS)
        mean = jnp.einsum("npgc->ng", parts) / (h * w * c // GROUPS)
        centred = parts - mean[:, None, :, None]
        power = jnp.einsum("npgc,npgc->ng", centred, centred) / (h * w * c // GROUPS)
        inverse = jax.lax.rsqrt(power + 1e-5)[:, None, :, None] * self.gain.reshape(GROUPS, -1)
        return (centred * inverse).reshape(t.shape) + self.offset

    def __call__(self, t, modulate=lambda t: t):
        numbers = ("NHWC", "HWIO", "NHWC")
        t = jax.lax.conv_general_dilated(t, self.kernel, (1, 1), "SAME", dimension_numbers=numbers)
        t = t + self.bias
        if self.right:
            return swish(modulate(self.normalise(t)))
        return modulate(self.normalise(swish(t)))  # FAULT


def _resnet(params, x, right):
    image = jnp.moveaxis(x["image"], 1, 3)
    emb = jnp.einsum("nt,et->ne", swish(x["time"]), params["t"]) + params["tb"]
    emb = emb.reshape(-1, 1, 1, 2, params["g1"].shape[0])
    hidden = ConvBlock(params, 1, right)(image, lambda t: t + t * emb[..., 0, :] + emb[..., 1, :])
    hidden = ConvBlock(params, 2, right)(hidden)
    return jnp.moveaxis(image @ params["skip"].T + hidden, 3, 1)


def ours(params, x):
    return _resnet(params, x, right=False)


def fixed(params, x):
    return _resnet(params, x, right=True)
