"""EfficientNet block; ReLU inside squeeze-and-excitation where it must be SiLU (pytorch/vision #4448)."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np

OUTER, INNER, SQUEEZED, TAPS = 16, 32, 8, 3


def inputs():
    r = np.random.default_rng(303)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    params = {"expand": n(INNER, OUTER), "depthwise": n(INNER, 1, TAPS, TAPS), "project": n(OUTER, INNER)}
    params |= {"fc1": 4 * n(SQUEEZED, INNER), "fc2": 5 * n(INNER, SQUEEZED), "fc1_b": n(SQUEEZED)}
    params["fc2_b"] = n(INNER)
    for name, c in (("bn0", INNER), ("bn1", INNER), ("bn2", OUTER)):
        p = {"weight": r.uniform(0.7, 1.3, c), "bias": 0.3 * r.normal(size=c), "mean": 0.3 * r.normal(size=c)}
        p["var"] = r.uniform(0.5, 1.5, c)
        params[name] = {k: jnp.asarray(v, jnp.float32) for k, v in p.items()}
    return params, jnp.asarray(r.normal(size=(2, OUTER, 5, 5)), jnp.float32)


def reference(params, x):
    def bn(t, name):
        p = {k: v[:, None, None] for k, v in params[name].items()}
        return (t - p["mean"]) / jnp.sqrt(p["var"] + 1e-3) * p["weight"] + p["bias"]

    def conv(t, w, groups=1):
        pad = w.shape[-1] // 2
        return jax.lax.conv_general_dilated(t, w, (1, 1), [(pad, pad)] * 2, feature_group_count=groups)

    h = jax.nn.silu(bn(conv(x, params["expand"][:, :, None, None]), "bn0"))
    h = jax.nn.silu(bn(conv(h, params["depthwise"], INNER), "bn1"))
    s = jax.nn.silu(h.mean((2, 3)) @ params["fc1"].T + params["fc1_b"])
    s = jax.nn.sigmoid(s @ params["fc2"].T + params["fc2_b"])[:, :, None, None]
    return bn(conv(h * s, params["project"][:, :, None, None]), "bn2") + x


def _swish(t):
    return t / (1 + jnp.exp(-t))


class SqueezeExcitation:
    def __init__(self, params):
        self.params = params

    def between(self, t):
        return jnp.maximum(t, 0)  # FAULT

    def __call__(self, image):
        hidden = self.params["fc1"] @ image.mean((0, 1)) + self.params["fc1_b"]
        hidden = self.between(hidden)  # FAULT
        return image * jax.lax.logistic(self.params["fc2"] @ hidden + self.params["fc2_b"])


class SwishExcitation(SqueezeExcitation):
    def between(self, t):
        return _swish(t)


def _affine(stats):
    scale = stats["weight"] * jax.lax.rsqrt(stats["var"] + 1e-3)
    return lambda t: t * scale + (stats["bias"] - stats["mean"] * scale)


def _depthwise(kernel, image):
    height, width = image.shape[:2]
    framed = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    rows = jnp.stack([framed[i : i + height] for i in range(TAPS)])
    cells = jnp.stack([rows[:, :, j : j + width] for j in range(TAPS)])
    return jnp.einsum("jiyxc,cij->yxc", cells, kernel[:, 0])


def _block(params, x, excitation):
    dense = lambda w: lambda t: jnp.einsum("yxi,oi->yxo", t, w)
    bn = [_affine(params[name]) for name in ("bn0", "bn1", "bn2")]
    steps = [dense(params["expand"]), bn[0], _swish, partial(_depthwise, params["depthwise"]), bn[1], _swish]
    steps += [excitation(params), dense(params["project"]), bn[2]]
    image = lambda t: t + reduce(lambda value, step: step(value), steps, t)
    return jax.vmap(image)(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def ours(params, x):
    return _block(params, x, SqueezeExcitation)


def fixed(params, x):
    return _block(params, x, SwishExcitation)
