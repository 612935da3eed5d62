"""LFM2 block; the fused feed-forward is split as up, gate, so SiLU falls on the up half (nntrainer #4194)."""

import jax
import jax.numpy as jnp
import numpy as np

TAPS = 3


def inputs():
    r = np.random.default_rng(63)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda: jnp.asarray(1 + 0.2 * r.normal(size=40), jnp.float32)
    params = {"in": n(120, 40), "conv": n(40, TAPS), "out": n(40, 40), "n1": gain(), "n2": gain()}
    params |= {"gate_up": n(128, 40), "down": n(40, 64)}
    return params, jnp.asarray(r.normal(size=(2, 10, 40)), jnp.float32)


def reference(params, x):
    def norm(h, g):
        variance = jnp.mean(jnp.square(h), axis=-1, keepdims=True)
        return g * (h * jax.lax.rsqrt(variance + 1e-5))

    bcx = norm(x, params["n1"]) @ params["in"].T
    b, c, u = bcx[..., :40], bcx[..., 40:80], bcx[..., 80:]
    rhs = params["conv"].T[:, None, :]
    u = jax.lax.conv_general_dilated(
        b * u, rhs, (1,), [(TAPS - 1, 0)], dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=40
    )
    x = x + (c * u) @ params["out"].T
    h = norm(x, params["n2"])
    w1, w3 = params["gate_up"][:64], params["gate_up"][64:]
    return x + (jax.nn.silu(h @ w1.T) * (h @ w3.T)) @ params["down"].T


def rms(t, weight):
    power = jnp.einsum("bsm,bsm->bs", t, t) * (1.0 / t.shape[-1])
    return t * (weight / jnp.sqrt(power + 1e-5)[..., None])


class ShortConv:
    def __init__(self, kernel, taps, out):
        self.kernel, self.taps, self.out = kernel.reshape(3, -1, kernel.shape[-1]), taps, out

    def __call__(self, x):
        before, after, value = jnp.einsum("bsm,tcm->tbsc", x, self.kernel)
        value = jnp.pad(before * value, ((0, 0), (TAPS - 1, 0), (0, 0)))
        windows = jnp.stack([value[:, i : i + x.shape[1]] for i in range(TAPS)], axis=-1)
        return jnp.einsum("bsc,bsct,ct,mc->bsm", after, windows, self.taps, self.out)


class FeedForward:
    def __init__(self, fused, down, right):
        self.fused, self.down, self.right = fused, down, right

    def __call__(self, x):
        hidden = jnp.einsum("bsm,fm->bsf", x, self.fused)
        first, second = jnp.split(hidden, 2, axis=-1)
        if self.right:
            mixed = first * jax.nn.sigmoid(first) * second
        else:
            mixed = second * jax.nn.sigmoid(second) * first  # FAULT
        return jnp.einsum("bsf,mf->bsm", mixed, self.down)


def _block(params, x, right):
    x = ShortConv(params["in"], params["conv"], params["out"])(rms(x, params["n1"])) + x
    return FeedForward(params["gate_up"], params["down"], right)(rms(x, params["n2"])) + x


def ours(params, x):
    return _block(params, x, right=False)


def fixed(params, x):
    return _block(params, x, right=True)
