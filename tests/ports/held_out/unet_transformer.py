"""UNet block; GEGLU takes its gate from the first half, which is the value (AiDotNet.Tensors #46, vpipe #2)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, GROUPS, INNER = 4, 8, 8, 48


def inputs():
    r = np.random.default_rng(107)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {f"{a}_{k}": n(32, 32) for a in ("self", "cross") for k in "qo"}
    params |= {"self_k": n(32, 32), "self_v": n(32, 32), "cross_k": n(32, 20), "cross_v": n(32, 20)}
    params |= {"in": n(32, 32), "out": n(32, 32), "ff": n(32, INNER)}
    params |= {"geglu": n(2 * INNER, 32), "b_geglu": 0.3 * n(2 * INNER)}
    params |= {name: 0.3 * n(32) for name in ("self_b", "cross_b", "b_in", "b_out", "b_ff")}
    params |= {f"g{i}": jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32) for i in range(4)}
    params |= {f"s{i}": jnp.asarray(0.1 * r.normal(size=32), jnp.float32) for i in range(4)}
    params["text"] = jnp.asarray(r.normal(size=(2, 7, 20)), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 32, 3, 4)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        c = t - t.mean(-1, keepdims=True)
        return c / jnp.sqrt((c**2).mean(-1, keepdims=True) + 1e-5) * params[f"g{i}"] + params[f"s{i}"]

    def attention(name, t, source):
        view = lambda u: u.reshape(u.shape[0], -1, HEADS, DEPTH).swapaxes(1, 2)
        q, k, v = (view(u @ params[f"{name}_{n}"].T) for u, n in ((t, "q"), (source, "k"), (source, "v")))
        y = jax.nn.softmax(q @ k.swapaxes(2, 3) * DEPTH**-0.5, axis=-1) @ v
        return y.swapaxes(1, 2).reshape(t.shape) @ params[f"{name}_o"].T + params[f"{name}_b"]

    g = x.reshape(x.shape[0], GROUPS, -1)
    g = (g - g.mean(-1, keepdims=True)) / jnp.sqrt(g.var(-1, keepdims=True) + 1e-6)
    t = g.reshape(x.shape) * params["g0"][:, None, None] + params["s0"][:, None, None]
    t = t.reshape(*x.shape[:2], -1).swapaxes(1, 2) @ params["in"].T + params["b_in"]
    t = attention("self", ln(t, 1), ln(t, 1)) + t
    t = attention("cross", ln(t, 2), params["text"]) + t
    value, gate = jnp.split(ln(t, 3) @ params["geglu"].T + params["b_geglu"], 2, axis=-1)
    t = (value * jax.nn.gelu(gate, approximate=False)) @ params["ff"].T + params["b_ff"] + t
    return (t @ params["out"].T + params["b_out"]).swapaxes(1, 2).reshape(x.shape) + x


def normalise(t, axes, epsilon):
    mean = jnp.mean(t, axes, keepdims=True)
    return (t - mean) * jax.lax.rsqrt(jnp.mean(t * t, axes, keepdims=True) - mean**2 + epsilon)


class TransformerBlock:
    def __init__(self, params, gate):
        self.p, self.gate = params, gate

    def norm(self, t, i):
        return self.p[f"s{i}"] + self.p[f"g{i}"] * normalise(t, -1, 1e-5)

    def attend(self, name, t, memory):
        kernel = lambda part, shape=(HEADS, DEPTH, -1): self.p[f"{name}_{part}"].reshape(shape)
        q = jnp.einsum("btm,hdm->bthd", t, kernel("q")) / np.sqrt(DEPTH)
        k, v = (jnp.einsum("bsm,hdm->bshd", memory, kernel(part)) for part in "kv")
        probs = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k))
        return jnp.einsum("bhts,bshd,mhd->btm", probs, v, kernel("o", (-1, HEADS, DEPTH))) + self.p[f"{name}_b"]

    def geglu(self, t):
        halves = jnp.einsum("btm,zfm->btzf", t, self.p["geglu"].reshape(2, INNER, -1))
        halves = halves + self.p["b_geglu"].reshape(2, INNER)
        gate, value = halves[:, :, self.gate], halves[:, :, 1 - self.gate]  # FAULT
        return gate * value * (0.5 + 0.5 * jax.lax.erf(gate * np.float32(np.sqrt(0.5))))  # FAULT

    def __call__(self, t, text):
        t = t + self.attend("self", self.norm(t, 1), self.norm(t, 1))
        t = t + self.attend("cross", self.norm(t, 2), text)
        return t + (jnp.einsum("btf,mf->btm", self.geglu(self.norm(t, 3)), self.p["ff"]) + self.p["b_ff"])


def _spatial(params, x, gate):
    pixels = jnp.moveaxis(x, 1, -1)
    grouped = normalise(pixels.reshape(*pixels.shape[:3], GROUPS, -1), (1, 2, 4), 1e-6)
    t = (grouped.reshape(pixels.shape) * params["g0"] + params["s0"]).reshape(x.shape[0], -1, x.shape[1])
    t = TransformerBlock(params, gate)(jnp.dot(t, params["in"].T) + params["b_in"], params["text"])
    return x + (jnp.einsum("btm,om->bot", t, params["out"]).reshape(x.shape) + params["b_out"][:, None, None])


def ours(params, x):
    return _spatial(params, x, gate=0)


def fixed(params, x):
    return _spatial(params, x, gate=1)
