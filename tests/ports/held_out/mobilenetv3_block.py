"""MobileNetV3 block; the hard sigmoid's slope is 0.2 where PyTorch's is 1/6 (Paddle #44820, torch-mlir #2682)."""

import jax
import jax.numpy as jnp
import numpy as np


def inputs():
    r = np.random.default_rng(106)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    params = {"expand": n(48, 24, 1, 1), "depthwise": n(48, 1, 3, 3), "project": n(24, 48, 1, 1)}
    params |= {"reduce": n(12, 48, 1, 1), "restore": 3 * n(48, 12, 1, 1)}
    params |= {"b_reduce": jnp.asarray(0.3 * r.normal(size=12), jnp.float32)}
    params |= {"b_restore": jnp.asarray(0.3 * r.normal(size=48), jnp.float32)}
    for i, width in enumerate((48, 48, 24)):
        params[f"g{i}"] = jnp.asarray(1 + 0.1 * r.normal(size=width), jnp.float32)
        params[f"s{i}"] = jnp.asarray(0.3 * r.normal(size=width), jnp.float32)
        params[f"m{i}"] = jnp.asarray(0.1 * r.normal(size=width), jnp.float32)
        params[f"v{i}"] = jnp.asarray(r.uniform(0.5, 1.5, size=width), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 24, 6, 6)), jnp.float32)


def reference(params, x):
    def bn(t, i):
        mean, var, g, b = (params[f"{n}{i}"][:, None, None] for n in "mvgs")
        return (t - mean) / jnp.sqrt(var + 1e-3) * g + b

    def conv(t, w, groups=1):
        pad = w.shape[-1] // 2
        return jax.lax.conv_general_dilated(t, w, (1, 1), [(pad, pad)] * 2, feature_group_count=groups)

    hardswish = lambda t: t * jax.nn.relu6(t + 3) / 6
    h = hardswish(bn(conv(x, params["expand"]), 0))
    h = hardswish(bn(conv(h, params["depthwise"], 48), 1))
    s = h.mean((2, 3), keepdims=True)
    s = jax.nn.relu(conv(s, params["reduce"]) + params["b_reduce"][:, None, None])
    s = conv(s, params["restore"]) + params["b_restore"][:, None, None]
    h = h * (jax.nn.relu6(s + 3) / 6)
    return bn(conv(h, params["project"]), 2) + x


def hard_sigmoid(t, slope):
    return jnp.clip(slope * t + 0.5, 0.0, 1.0)  # FAULT


def hard_swish(t):
    return t * jnp.clip(t * np.float32(1 / 6) + 0.5, 0.0, 1.0)


def batch_norm(params, t, i):
    scale = params[f"g{i}"] * jax.lax.rsqrt(params[f"v{i}"] + 1e-3)
    return t * scale + (params[f"s{i}"] - params[f"m{i}"] * scale)


def pointwise(t, kernel):
    return jnp.einsum("...i,oi->...o", t, kernel[:, :, 0, 0])


def depthwise(t, kernel):
    padded = jnp.pad(t, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, cols = t.shape[1:3]
    taps = [padded[:, i : i + rows, j : j + cols] * kernel[:, 0, i, j] for i in range(3) for j in range(3)]
    return sum(taps[1:], taps[0])


def squeeze_excite(params, t, slope):
    pooled = jnp.einsum("nhwc->nc", t) / (t.shape[1] * t.shape[2])
    reduced = jnp.maximum(pointwise(pooled, params["reduce"]) + params["b_reduce"], 0)
    gate = hard_sigmoid(pointwise(reduced, params["restore"]) + params["b_restore"], slope)  # FAULT
    return gate[:, None, None, :] * t


def _block(params, x, slope):
    inputs_last = jnp.transpose(x, (0, 2, 3, 1))
    t = hard_swish(batch_norm(params, pointwise(inputs_last, params["expand"]), 0))
    t = hard_swish(batch_norm(params, depthwise(t, params["depthwise"]), 1))
    t = squeeze_excite(params, t, slope)
    t = inputs_last + batch_norm(params, pointwise(t, params["project"]), 2)
    return jnp.transpose(t, (0, 3, 1, 2))


def ours(params, x):
    return _block(params, x, slope=0.2)  # FAULT


def fixed(params, x):
    return _block(params, x, slope=np.float32(1 / 6))
