"""Gemma decoder's MLPs; RMSNorm multiplies by the stored weight instead of one plus it (Liger-Kernel #74)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, EPS = 40, 1e-6


def inputs():
    r = np.random.default_rng(101)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda *s: jnp.asarray(0.3 * r.normal(size=s), jnp.float32)
    params = {"embed": n(53, WIDTH), "gate": n(2, 56, WIDTH), "up": n(2, 56, WIDTH), "down": n(2, WIDTH, 56)}
    params |= {"pre": gain(2, WIDTH), "last": gain(WIDTH)}
    return params, jnp.asarray(r.integers(0, 53, size=(2, 7)))


def reference(params, x):
    def norm(h, w):
        h = h * jax.lax.rsqrt(jnp.mean(h**2, axis=-1, keepdims=True) + EPS)
        return h * (1.0 + w)

    h = params["embed"][x] * WIDTH**0.5
    for layer in range(2):
        z = norm(h, params["pre"][layer])
        gate = jax.nn.gelu(z @ params["gate"][layer].T, approximate=True)
        h = h + (gate * (z @ params["up"][layer].T)) @ params["down"][layer].T
    return norm(h, params["last"]) @ params["embed"].T


def rms_normalize(h, gain, offset):
    length = jnp.sqrt(jnp.einsum("btd,btd->bt", h, h) / h.shape[-1] + EPS)
    scaled = h / length[..., None]
    return scaled * gain + scaled * offset  # FAULT


def tanh_gelu(z):
    inner = 0.7978845608028654 * z * (1 + 0.044715 * z * z)
    return z * 0.5 + z * 0.5 * jnp.tanh(inner)


def _decode(params, tokens, offset):
    def layer(h, weights):
        normed = rms_normalize(h, weights["pre"], offset)
        gate = tanh_gelu(jnp.einsum("btd,fd->btf", normed, weights["gate"]))
        up = jnp.einsum("btd,fd->btf", normed, weights["up"])
        return jnp.einsum("btf,df->btd", up * gate, weights["down"]) + h, None

    stacked = {name: params[name] for name in ("pre", "gate", "up", "down")}
    h = jnp.take(params["embed"] * WIDTH**0.5, tokens, axis=0)
    h, _ = jax.lax.scan(layer, h, stacked)
    return jnp.einsum("btd,vd->btv", rms_normalize(h, params["last"], offset), params["embed"])


def ours(params, x):
    return _decode(params, x, offset=0.0)  # FAULT


def fixed(params, x):
    return _decode(params, x, offset=1.0)
