"""Upsampling head; the kernel of PyTorch's transposed convolution is not flipped (flax #3137, jax #11252)."""

import jax
import jax.numpy as jnp
import numpy as np

STRIDE, PAD = 2, 1


def inputs():
    r = np.random.default_rng(101)
    n = lambda *s, fan: jnp.asarray(r.normal(size=s) / np.sqrt(fan), jnp.float32)
    params = {"stem": n(24, 5, fan=5), "stem_b": 0.1 * n(24, fan=1)}
    params |= {"up": n(24, 18, 4, 4, fan=24 * 4), "up_b": 0.1 * n(18, fan=1), "out": n(7, 18, fan=18)}
    return params, jnp.asarray(r.normal(size=(2, 5, 6, 9)), jnp.float32)


def reference(params, x):
    """NCHW; every kernel tap is added where it lands, then PAD is cropped off."""
    b, _, h, w = x.shape
    f = jnp.tensordot(x, params["stem"], axes=([1], [1])).transpose(0, 3, 1, 2)
    f = jax.nn.relu(f + params["stem_b"][:, None, None])
    kernel = params["up"]
    taps = kernel.shape[-1]
    full = jnp.zeros((b, kernel.shape[1], (h - 1) * STRIDE + taps, (w - 1) * STRIDE + taps), x.dtype)
    for i in range(taps):
        for j in range(taps):
            part = jnp.tensordot(f, kernel[:, :, i, j], axes=([1], [0])).transpose(0, 3, 1, 2)
            rows = slice(i, i + (h - 1) * STRIDE + 1, STRIDE)
            cols = slice(j, j + (w - 1) * STRIDE + 1, STRIDE)
            full = full.at[:, :, rows, cols].add(part)
    y = full[:, :, PAD:-PAD, PAD:-PAD] + params["up_b"][:, None, None]
    y = y / (1 + jnp.exp(-y))
    return jnp.tensordot(y, params["out"], axes=([1], [1])).transpose(0, 3, 1, 2)


class ConvTranspose:
    """Channels last, in terms of lax; `kernel` as PyTorch stores it: in, out, height, width."""

    def __init__(self, kernel, bias, right):
        kernel = jnp.transpose(kernel, (2, 3, 0, 1))  # FAULT
        if right:
            kernel = kernel[::-1, ::-1]
        self.kernel, self.bias = kernel, bias

    def __call__(self, image):
        edge = self.kernel.shape[0] - 1 - PAD
        numbers = ("NHWC", "HWIO", "NHWC")
        sides, strides = [(edge, edge)] * 2, (STRIDE, STRIDE)
        up = jax.lax.conv_transpose(image, self.kernel, strides, sides, dimension_numbers=numbers)  # FAULT
        return up + self.bias


def _head(params, x, right):
    image = jnp.moveaxis(x, 1, -1)
    image = jnp.maximum(jnp.einsum("bhwi,oi->bhwo", image, params["stem"]) + params["stem_b"], 0)
    image = jax.nn.silu(ConvTranspose(params["up"], params["up_b"], right)(image))
    return jnp.einsum("bhwi,oi->bohw", image, params["out"])


def ours(params, x):
    return _head(params, x, right=False)


def fixed(params, x):
    return _head(params, x, right=True)
