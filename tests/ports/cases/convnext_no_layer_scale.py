"""ConvNeXt blocks; the checkpoint's layer scale (gamma) is not applied (ConvNeXt #77, mlx-image #26)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

CHANNELS, BLOCKS, TAPS, EPS = 16, 2, 5, 1e-6


def inputs():
    r = np.random.default_rng(304)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)

    def block():
        p = {"dwconv": n(CHANNELS, 1, TAPS, TAPS), "pw1": n(3 * CHANNELS, CHANNELS)}
        p |= {"pw2": n(CHANNELS, 3 * CHANNELS), "norm": 1 + n(CHANNELS) / 20, "pw1_b": n(3 * CHANNELS) / 50}
        p |= {name: 0.05 * n(CHANNELS) for name in ("dwconv_b", "norm_b", "pw2_b")}
        return p | {"gamma": jnp.asarray(r.uniform(0.05, 0.7, CHANNELS), jnp.float32)}

    return [block() for _ in range(BLOCKS)], jnp.asarray(r.normal(size=(2, CHANNELS, 6, 6)), jnp.float32)


def reference(params, x):
    for p in params:
        pad = [(TAPS // 2, TAPS // 2)] * 2
        h = jax.lax.conv_general_dilated(x, p["dwconv"], (1, 1), pad, feature_group_count=CHANNELS)
        h = (h + p["dwconv_b"][:, None, None]).transpose(0, 2, 3, 1)
        u = h.mean(-1, keepdims=True)
        s = ((h - u) ** 2).mean(-1, keepdims=True)
        h = p["norm"] * ((h - u) / jnp.sqrt(s + EPS)) + p["norm_b"]
        h = jax.nn.gelu(h @ p["pw1"].T + p["pw1_b"], approximate=False)
        h = h @ p["pw2"].T + p["pw2_b"]
        h = p["gamma"] * h
        x = x + h.transpose(0, 3, 1, 2)
    return x


class Block(nnx.Module):
    """One image, channels last; the weights of one block."""

    def __init__(self, weights):
        self.weights = nnx.data({name: nnx.Param(value) for name, value in weights.items()})

    def spatial(self, image):
        height, width, _ = image.shape
        reach = TAPS // 2
        framed = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)))
        kernel = self.weights["dwconv"][...][:, 0]
        total = self.weights["dwconv_b"][...]
        for i in range(TAPS):
            for j in range(TAPS):
                total = total + kernel[:, i, j] * framed[i : i + height, j : j + width]
        return total

    def mixing(self, t):
        w = {name: value[...] for name, value in self.weights.items()}
        mean = jnp.einsum("yxc->yx", t)[..., None] / t.shape[-1]
        centred = t - mean
        power = jnp.einsum("yxc,yxc->yx", centred, centred)[..., None] / t.shape[-1]
        t = centred * (jax.lax.rsqrt(power + EPS) * w["norm"]) + w["norm_b"]
        t = jnp.einsum("yxc,kc->yxk", t, w["pw1"]) + w["pw1_b"]
        t = t * 0.5 * (1 + jax.lax.erf(t / np.sqrt(2).item()))
        return jnp.einsum("yxk,ck->yxc", t, w["pw2"]) + w["pw2_b"]

    def join(self, image, branch):
        return image + branch  # FAULT

    def __call__(self, image):
        return self.join(image, self.mixing(self.spatial(image)))


class ScaledBlock(Block):
    def join(self, image, branch):
        return image + branch * self.weights["gamma"][...]


def _stage(params, x, kind):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    step = lambda images, weights: (jax.vmap(kind(weights))(images), None)
    images, _ = jax.lax.scan(step, jnp.moveaxis(x, 1, -1), stacked)
    return jnp.moveaxis(images, -1, 1)


def ours(params, x):
    return _stage(params, x, Block)


def fixed(params, x):
    return _stage(params, x, ScaledBlock)
