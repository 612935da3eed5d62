"""ConvNeXt V2; response norm divides by the sum over channels as the paper writes, not the mean (ConvNeXt-V2 #76)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, KERNEL = 32, 5


def inputs():
    r = np.random.default_rng(67)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"dw": 2 * n(KERNEL, KERNEL, WIDTH), "bdw": 0.3 * n(WIDTH), "fc1": n(64, WIDTH), "fc2": n(WIDTH, 64)}
    params |= {"b1": 0.3 * n(64), "b2": 0.3 * n(WIDTH), "shift": jnp.asarray(0.2 * r.normal(size=WIDTH), jnp.float32)}
    params |= {"gain": jnp.asarray(1 + 0.2 * r.normal(size=WIDTH), jnp.float32)}
    params |= {"gamma": 5 * n(64), "beta": 2.5 * n(64)}
    return params, jnp.asarray(r.normal(size=(2, 6, 7, WIDTH)), jnp.float32)


def reference(params, x):
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": WIDTH}
    h = jax.lax.conv_general_dilated(x, params["dw"][:, :, None, :], (1, 1), "SAME", **options) + params["bdw"]
    mean = h.mean(-1, keepdims=True)
    var = jnp.square(h - mean).mean(-1, keepdims=True)
    h = (h - mean) / jnp.sqrt(var + 1e-6) * params["gain"] + params["shift"]
    h = jax.nn.gelu(h @ params["fc1"].T + params["b1"], approximate=False)
    gx = jnp.sqrt(jnp.square(h).sum((1, 2), keepdims=True))
    nx = gx / (gx.mean(-1, keepdims=True) + 1e-6)
    h = params["gamma"] * (h * nx) + params["beta"] + h
    return x + (h @ params["fc2"].T + params["b2"])


class DepthwiseConv:
    def __init__(self, kernel, bias):
        self.kernel, self.bias = kernel, bias

    def __call__(self, image):
        height, width = image.shape[2:]
        padded = jnp.pad(image, ((0, 0), (0, 0), (KERNEL // 2, KERNEL // 2), (KERNEL // 2, KERNEL // 2)))
        total = self.bias[:, None, None]
        for i in range(KERNEL):
            for j in range(KERNEL):
                total = total + padded[:, :, i : i + height, j : j + width] * self.kernel[i, j][:, None, None]
        return total


class LayerNorm2d:
    def __init__(self, gain, shift):
        self.gain, self.shift = gain[:, None, None], shift[:, None, None]

    def __call__(self, image):
        scale = self.gain * jax.lax.rsqrt(jnp.var(image, axis=1, keepdims=True) + 1e-6)
        return image * scale + (self.shift - jnp.mean(image, axis=1, keepdims=True) * scale)


class ResponseNorm:
    def __init__(self, gamma, beta, right):
        self.gamma, self.beta, self.right = gamma, beta, right

    def __call__(self, image):
        response = jnp.linalg.norm(image.reshape(*image.shape[:2], -1), axis=-1)
        if self.right:
            total = jnp.einsum("nc->n", response)[:, None] / response.shape[1]
        else:
            total = jnp.einsum("nc->n", response)[:, None]  # FAULT
        ratio = response / (total + 1e-6)  # FAULT
        return image * (1 + self.gamma * ratio)[..., None, None] + self.beta[:, None, None]


def _block(params, x, right):
    image = jnp.moveaxis(x, -1, 1)
    hidden = LayerNorm2d(params["gain"], params["shift"])(DepthwiseConv(params["dw"], params["bdw"])(image))
    hidden = jnp.einsum("fc,nchw->nfhw", params["fc1"], hidden) + params["b1"][:, None, None]
    hidden = 0.5 * hidden * (1 + jax.lax.erf(hidden / np.float32(np.sqrt(2))))
    hidden = ResponseNorm(params["gamma"], params["beta"], right)(hidden)
    return jnp.einsum("cf,nfhw->nhwc", params["fc2"], hidden) + params["b2"] + x


def ours(params, x):
    return _block(params, x, right=False)


def fixed(params, x):
    return _block(params, x, right=True)
