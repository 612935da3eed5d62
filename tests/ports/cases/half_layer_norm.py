"""Pre-norm MLP blocks in bfloat16; LayerNorm's moments in the half type, not in float32 (keras #21438)."""

import jax
import jax.numpy as jnp
import numpy as np

ONLY = "bfloat16"


def inputs():
    r = np.random.default_rng(118)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    v = lambda *s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"up": n(2, 60, 42), "up_b": v(2, 60), "down": n(2, 42, 60), "head": n(30, 42)}
    params |= {"gain": v(2, 42, m=1.0), "shift": v(2, 42), "last_gain": v(42, m=1.0), "last_shift": v(42)}
    return params, jnp.asarray(1.5 + r.normal(size=(3, 7, 42)), jnp.float32)


def reference(params, x):
    def ln(t, weight, bias):
        f = t.astype(jnp.promote_types(t.dtype, jnp.float32))
        mean = f.mean(-1, keepdims=True)
        var = jnp.square(f - mean).mean(-1, keepdims=True)
        normed = (f - mean) / jnp.sqrt(var + 1e-5)
        return (normed * weight + bias).astype(t.dtype)

    for i in range(2):
        h = ln(x, params["gain"][i], params["shift"][i])
        h = jax.nn.relu(h @ params["up"][i].T + params["up_b"][i])
        x = x + h @ params["down"][i].T
    return ln(x, params["last_gain"], params["last_shift"]) @ params["head"].T


class LayerNorm:
    def __init__(self, gain, shift, full):
        self.gain, self.shift, self.full = gain, shift, full

    def moments(self, t):
        first = jnp.mean(t, axis=-1, keepdims=True)
        second = jnp.mean(t * t, axis=-1, keepdims=True)  # FAULT
        return first, second - first * first

    def __call__(self, t):
        kind = jnp.promote_types(t.dtype, jnp.float32) if self.full else t.dtype
        wide = t.astype(kind)  # FAULT
        mean, var = self.moments(wide)
        inverse = jax.lax.rsqrt(var + 1e-5) * self.gain.astype(kind)
        return (self.shift + (wide - mean) * inverse).astype(t.dtype)


def _blocks(params, x, full):
    for gain, shift, up, bias, down in zip(*(params[k] for k in ("gain", "shift", "up", "up_b", "down"))):
        normed = jnp.pad(LayerNorm(gain, shift, full)(x), ((0, 0), (0, 0), (0, 1)), constant_values=1)
        hidden = jnp.einsum("fm,btm->btf", jnp.column_stack([up, bias]), normed)
        x = jnp.einsum("mf,btf->btm", down, jnp.maximum(hidden, 0)) + x
    last = LayerNorm(params["last_gain"], params["last_shift"], full)
    return jnp.einsum("om,btm->bto", params["head"], last(x))


def ours(params, x):
    return _blocks(params, x, full=False)  # FAULT


def fixed(params, x):
    return _blocks(params, x, full=True)
