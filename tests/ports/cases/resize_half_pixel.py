"""DPT fusion; bilinear upsampling with half-pixel centres where the corners must be aligned (flax #2210)."""

import jax
import jax.numpy as jnp
import numpy as np


def inputs():
    r = np.random.default_rng(102)
    n = lambda *s, fan: jnp.asarray(r.normal(size=s) / np.sqrt(fan), jnp.float32)
    params = {"res": n(26, 26, fan=26), "res_b": 0.1 * n(26, fan=1), "proj": n(26, 26, fan=26)}
    params |= {"head": n(11, 26, fan=26), "head_b": 0.1 * n(11, fan=1)}
    x = {"deep": r.normal(size=(2, 26, 5, 7)), "skip": r.normal(size=(2, 26, 11, 17))}
    return params, {k: jnp.asarray(v, jnp.float32) for k, v in x.items()}


def reference(params, x):
    def conv1x1(t, w):
        return jnp.tensordot(w, t, axes=([1], [1])).swapaxes(0, 1)

    deep, skip = x["deep"], x["skip"]
    skip = skip + conv1x1(jax.nn.relu(skip), params["res"]) + params["res_b"].reshape(1, -1, 1, 1)
    h, w = deep.shape[2:]
    new_h, new_w = skip.shape[2:]
    rows = np.arange(new_h) * ((h - 1) / (new_h - 1))
    cols = np.arange(new_w) * ((w - 1) / (new_w - 1))
    top, left = np.floor(rows).astype(int), np.floor(cols).astype(int)
    bottom, right = np.minimum(top + 1, h - 1), np.minimum(left + 1, w - 1)
    dy = jnp.asarray(rows - top, deep.dtype)[:, None]
    dx = jnp.asarray(cols - left, deep.dtype)
    upper = deep[:, :, top][..., left] * (1 - dx) + deep[:, :, top][..., right] * dx
    lower = deep[:, :, bottom][..., left] * (1 - dx) + deep[:, :, bottom][..., right] * dx
    fused = conv1x1(upper * (1 - dy) + lower * dy + skip, params["proj"])
    fused = jax.nn.relu(fused)
    return conv1x1(fused, params["head"]) + params["head_b"].reshape(1, -1, 1, 1)


class Upsample:
    """Separable: one matrix of hat functions for each axis, channels last."""

    def __init__(self, align_corners):
        self.align_corners = align_corners

    def centres(self, size, target):
        if self.align_corners:
            return np.linspace(0.0, size - 1.0, target)
        return (np.arange(target) + 0.5) * size / target - 0.5  # FAULT

    def matrix(self, size, target, dtype):
        where = np.clip(self.centres(size, target), 0, size - 1)  # FAULT
        return jnp.asarray(np.maximum(0, 1 - np.abs(where[:, None] - np.arange(size))), dtype)

    def __call__(self, t, height, width):
        down = self.matrix(t.shape[1], height, t.dtype)
        across = self.matrix(t.shape[2], width, t.dtype)
        return jnp.einsum("Hh,bhwc,Ww->bHWc", down, t, across)


def _fusion(params, x, align_corners):
    deep, skip = (jnp.transpose(x[k], (0, 2, 3, 1)) for k in ("deep", "skip"))
    residual = jnp.einsum("bhwi,oi->bhwo", jnp.maximum(skip, 0), params["res"]) + params["res_b"]
    deep = Upsample(align_corners)(deep, *skip.shape[1:3])
    total = residual + (deep + skip)
    joined = jnp.maximum(jnp.einsum("bhwi,oi->bhwo", total, params["proj"]), 0)
    return jnp.moveaxis(joined @ params["head"].T + params["head_b"], -1, 1)


def ours(params, x):
    return _fusion(params, x, align_corners=False)


def fixed(params, x):
    return _fusion(params, x, align_corners=True)
