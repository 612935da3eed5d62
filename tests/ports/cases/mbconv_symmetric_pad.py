"""EfficientNet MBConv; stride-two depthwise padded (1, 1) where TensorFlow's SAME pads (0, 1) (EfficientNets-PyTorch #2)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDE, SQUEEZED, KERNEL, STRIDE = 48, 6, 3, 2


def inputs():
    r = np.random.default_rng(112)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    norm = lambda c: jnp.asarray(
        np.stack([1 + 0.2 * r.normal(size=c), 0.3 * r.normal(size=c), 0.3 * r.normal(size=c), r.uniform(0.5, 1.5, c)]), jnp.float32
    )
    params = {"expand": n(WIDE, 16), "bn1": norm(WIDE), "depthwise": n(WIDE, KERNEL, KERNEL), "bn2": norm(WIDE)}
    params |= {"reduce": n(SQUEEZED, WIDE), "reduce_b": n(SQUEEZED), "excite": n(WIDE, SQUEEZED), "excite_b": n(WIDE)}
    params |= {"project": n(24, WIDE), "bn3": norm(24)}
    return params, jnp.asarray(r.normal(size=(2, 8, 8, 16)), jnp.float32)


def reference(params, x):
    def bn(t, name):
        gamma, beta, mean, var = params[name]
        return (t - mean) / jnp.sqrt(var + 1e-3) * gamma + beta

    h = jax.nn.silu(bn(x @ params["expand"].T, "bn1"))
    h = jax.lax.conv_general_dilated(
        h,
        params["depthwise"].transpose(1, 2, 0)[:, :, None, :],
        (STRIDE, STRIDE),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=WIDE,
    )
    h = jax.nn.silu(bn(h, "bn2"))
    s = h.mean((1, 2))
    s = jax.nn.silu(s @ params["reduce"].T + params["reduce_b"])
    h = h * jax.nn.sigmoid(s @ params["excite"].T + params["excite_b"])[:, None, None, :]
    return bn(h @ params["project"].T, "bn3")


class MBConvBlock:
    def __init__(self, params, right):
        self.p, self.right = params, right

    def fold(self, name):
        gamma, beta, mean, var = self.p[name]
        scale = gamma * jax.lax.rsqrt(var + 1e-3)
        return scale, beta - mean * scale

    def pointwise(self, t, kernel, name):
        scale, offset = self.fold(name)
        return jnp.einsum("nchw,oc->nohw", t, kernel * scale[:, None]) + offset[:, None, None]

    def depthwise(self, t):
        size = t.shape[-1]
        out = -(-size // STRIDE)
        need = (out - 1) * STRIDE + KERNEL - size
        sides = (need // 2, need - need // 2) if self.right else (KERNEL // 2, KERNEL // 2)  # FAULT
        t = jnp.pad(t, ((0, 0), (0, 0), sides, sides))  # FAULT
        last = STRIDE * (out - 1) + 1
        scale, offset = self.fold("bn2")
        total = offset[:, None, None]
        for i in range(KERNEL):
            for j in range(KERNEL):
                tap = (self.p["depthwise"][:, i, j] * scale)[:, None, None]
                total = total + tap * t[:, :, i : i + last : STRIDE, j : j + last : STRIDE]  # FAULT
        return total

    def __call__(self, x):
        swish = lambda t: t / (1 + jnp.exp(-t))
        t = swish(self.pointwise(jnp.moveaxis(x, -1, 1), self.p["expand"], "bn1"))
        t = swish(self.depthwise(t))
        pooled = jnp.einsum("nchw->nc", t) / (t.shape[2] * t.shape[3])
        gate = swish(jnp.einsum("nc,kc->nk", pooled, self.p["reduce"]) + self.p["reduce_b"])
        gate = 1 / (1 + jnp.exp(-jnp.einsum("nk,ck->nc", gate, self.p["excite"]) - self.p["excite_b"]))
        return jnp.moveaxis(self.pointwise(t * gate[:, :, None, None], self.p["project"], "bn3"), 1, -1)


def ours(params, x):
    return MBConvBlock(params, right=False)(x)


def fixed(params, x):
    return MBConvBlock(params, right=True)(x)
