"""ResNet block; "SAME" pads a strided convolution at one side only, PyTorch at both (flax #963)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def inputs():
    r = np.random.default_rng(115)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    params = {"conv1": n(28, 24, 3, 3), "conv2": n(28, 28, 3, 3), "down": n(28, 24, 1, 1)}
    for name in ("bn1", "bn2", "bn3"):
        params[name] = {"weight": jnp.asarray(1 + 0.1 * r.normal(size=28), jnp.float32)}
        params[name]["bias"] = jnp.asarray(0.1 * r.normal(size=28), jnp.float32)
        params[name]["mean"] = jnp.asarray(0.1 * r.normal(size=28), jnp.float32)
        params[name]["var"] = jnp.asarray(r.uniform(0.5, 1.5, size=28), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 24, 10, 12)), jnp.float32)


def reference(params, x):
    def bn(t, p):
        view = lambda a: a[None, :, None, None]
        normed = (t - view(p["mean"])) / jnp.sqrt(view(p["var"]) + 1e-5)
        return normed * view(p["weight"]) + view(p["bias"])

    def conv(t, w, stride, pad):
        return jax.lax.conv_general_dilated(t, w, (stride, stride), [(pad, pad), (pad, pad)])

    y = jax.nn.relu(bn(conv(x, params["conv1"], 2, 1), params["bn1"]))
    y = bn(conv(y, params["conv2"], 1, 1), params["bn2"])
    y = y + bn(conv(x, params["down"], 2, 0), params["bn3"])
    return jax.nn.relu(y).mean((2, 3))


class ConvNorm:
    """Over (batch, height, width, channels), the batch norm that follows put into the kernel."""

    def __init__(self, kernel, norm, strides, padding):
        gain = norm["weight"] * jax.lax.rsqrt(norm["var"] + 1e-5)
        self.kernel = jnp.einsum("oihw,o->hwio", kernel, gain)
        self.bias = norm["bias"] - norm["mean"] * gain
        self.strides, self.padding = strides, padding

    def __call__(self, x):
        layout = ("NHWC", "HWIO", "NHWC")
        conv = partial(jax.lax.conv_general_dilated, dimension_numbers=layout)
        return conv(x, self.kernel, self.strides, self.padding) + self.bias  # FAULT


class Block:
    def __init__(self, params, padding):
        self.first = ConvNorm(params["conv1"], params["bn1"], (2, 2), padding)  # FAULT
        self.second = ConvNorm(params["conv2"], params["bn2"], (1, 1), padding)
        self.shortcut = ConvNorm(params["down"], params["bn3"], (2, 2), "VALID")

    def __call__(self, x):
        x = jnp.moveaxis(x, 1, -1)
        y = self.shortcut(x) + self.second(jnp.maximum(self.first(x), 0))
        return jnp.einsum("nhwc->nc", jnp.maximum(y, 0)) / (y.shape[1] * y.shape[2])


def ours(params, x):
    return Block(params, padding="SAME")(x)  # FAULT


def fixed(params, x):
    return Block(params, padding=((1, 1), (1, 1)))(x)
