"""Diffusion ResNet block; the time's scale and shift precede the second norm (diffusers #1428)."""

import jax
import jax.numpy as jnp
import numpy as np

IN, OUT, TIME, GROUPS, EPS = 16, 24, 20, 4, 1e-5


def inputs():
    r = np.random.default_rng(305)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    params = {"conv1": n(OUT, IN, 3, 3), "conv2": n(OUT, OUT, 3, 3), "skip": n(OUT, IN, 1, 1)}
    params |= {name + "_b": 0.1 * n(OUT) for name in ("conv1", "conv2", "skip")}
    params |= {"norm1": 1 + 0.2 * n(IN), "norm1_b": 0.2 * n(IN), "norm2": 1 + 0.2 * n(OUT)}
    params |= {"norm2_b": 0.2 * n(OUT), "time": n(2 * OUT, TIME), "time_b": 0.2 * n(2 * OUT)}
    x, temb = r.normal(size=(2, IN, 5, 5)), 1.5 * r.normal(size=(2, TIME))
    return params, jnp.asarray(x, jnp.float32), jnp.asarray(temb, jnp.float32)


def reference(params, x, temb):
    def conv(h, name):
        pad = params[name].shape[-1] // 2
        h = jax.lax.conv_general_dilated(h, params[name], (1, 1), [(pad, pad)] * 2)
        return h + params[name + "_b"][:, None, None]

    def group_norm(h, name):
        g = h.reshape(h.shape[0], GROUPS, -1)
        g = (g - g.mean(-1, keepdims=True)) / jnp.sqrt(g.var(-1, keepdims=True) + EPS)
        return g.reshape(h.shape) * params[name][:, None, None] + params[name + "_b"][:, None, None]

    h = conv(jax.nn.silu(group_norm(x, "norm1")), "conv1")
    temb = jax.nn.silu(temb) @ params["time"].T + params["time_b"]
    scale, shift = jnp.split(temb[:, :, None, None], 2, axis=1)
    h = group_norm(h, "norm2") * (1 + scale) + shift
    h = conv(jax.nn.silu(h), "conv2")
    return conv(x, "skip") + h


class Layers:
    """One image, channels last."""

    def __init__(self, params):
        self.params = params

    def kernel(self, image, name):
        weight = self.params[name].transpose(2, 3, 1, 0)
        form = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(image[None], weight, (1, 1), "SAME", dimension_numbers=form)
        return out[0] + self.params[name + "_b"]

    def norm(self, image, name):
        cells = image.reshape(*image.shape[:2], GROUPS, -1)
        count = cells.size // GROUPS
        cells = cells - jnp.einsum("yxgc->g", cells)[:, None] / count
        power = jnp.einsum("yxgc,yxgc->g", cells, cells)[:, None] / count
        cells = cells * jax.lax.rsqrt(power + EPS)
        return cells.reshape(image.shape) * self.params[name] + self.params[name + "_b"]

    def act(self, t):
        return t / (1 + jnp.exp(-t))

    def conditioned(self, image, gain, offset):
        image = image + gain * image + offset  # FAULT
        return self.norm(image, "norm2")  # FAULT

    def __call__(self, image, time):
        gain, offset = (self.params["time"] @ self.act(time) + self.params["time_b"]).reshape(2, -1)
        inner = self.kernel(self.act(self.norm(image, "norm1")), "conv1")
        inner = self.kernel(self.act(self.conditioned(inner, gain, offset)), "conv2")
        return inner + self.kernel(image, "skip")


class NormFirst(Layers):
    def conditioned(self, image, gain, offset):
        image = self.norm(image, "norm2")
        return image + gain * image + offset


def _batch(layers, x, temb):
    return jax.vmap(layers, (1, 0), 1)(jnp.moveaxis(x, (1, 0), (3, 1)), temb).transpose(1, 3, 0, 2)


def ours(params, x, temb):
    return _batch(Layers(params), x, temb)


def fixed(params, x, temb):
    return _batch(NormFirst(params), x, temb)
