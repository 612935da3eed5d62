"""StableLM; the rotary frequencies are spread over the head's width, not its rotated part (pie #603)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, ROTARY, WIDTH = 2, 16, 8, 32


def inputs():
    r = np.random.default_rng(306)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {k: {"weight": 1.5 * n(WIDTH, WIDTH), "bias": n(WIDTH)} for k in ("q_proj", "k_proj", "v_proj")}
    params |= {"o_proj": {"weight": n(WIDTH, WIDTH)}, "gate_proj": {"weight": n(48, WIDTH)}}
    params |= {"up_proj": {"weight": n(48, WIDTH)}, "down_proj": {"weight": n(WIDTH, 48)}}
    params |= {k: {"weight": 1 + n(WIDTH), "bias": n(WIDTH)} for k in ("norm1", "norm2")}
    return params, jnp.asarray(r.normal(size=(2, 10, WIDTH)), jnp.float32)


def reference(params, x):
    def linear(name, t):
        p = params[name]
        return t @ p["weight"].T + p["bias"] if "bias" in p else t @ p["weight"].T

    def layer_norm(name, t):
        mu = t.mean(-1, keepdims=True)
        sigma = jnp.sqrt(((t - mu) ** 2).mean(-1, keepdims=True) + 1e-5)
        return (t - mu) / sigma * params[name]["weight"] + params[name]["bias"]

    rotate_half = lambda t: jnp.concatenate([-t[..., ROTARY // 2 :], t[..., : ROTARY // 2]], -1)
    b, s, _ = x.shape
    freqs = np.outer(np.arange(s), 1.0 / 10000.0 ** (np.arange(0, ROTARY, 2) / ROTARY))
    emb = np.concatenate([freqs, freqs], -1)
    cos, sin = np.cos(emb).astype(np.float32), np.sin(emb).astype(np.float32)
    h = layer_norm("norm1", x)
    q, k, v = (linear(f"{i}_proj", h).reshape(b, s, HEADS, DEPTH).swapaxes(1, 2) for i in "qkv")
    q_rot, k_rot = q[..., :ROTARY], k[..., :ROTARY]
    q = jnp.concatenate([q_rot * cos + rotate_half(q_rot) * sin, q[..., ROTARY:]], -1)
    k = jnp.concatenate([k_rot * cos + rotate_half(k_rot) * sin, k[..., ROTARY:]], -1)
    w = q @ k.swapaxes(2, 3) / DEPTH**0.5 + np.triu(np.full((s, s), -1e9, np.float32), 1)
    x = x + linear("o_proj", (jax.nn.softmax(w, -1) @ v).swapaxes(1, 2).reshape(b, s, -1))
    h = layer_norm("norm2", x)
    return x + linear("down_proj", jax.nn.silu(linear("gate_proj", h)) * linear("up_proj", h))


class Rotary:
    def frequencies(self):
        return jnp.asarray(10000.0, jnp.float32) ** (-2.0 * jnp.arange(ROTARY // 2) / DEPTH)  # FAULT

    def __call__(self, t):
        angle = jnp.arange(t.shape[0])[:, None] * self.frequencies()  # FAULT
        cos, sin = jnp.cos(angle).astype(t.dtype), jnp.sin(angle).astype(t.dtype)
        lo, hi, rest = jnp.split(t, [ROTARY // 2, ROTARY], axis=1)
        return jnp.concatenate([cos * lo - sin * hi, sin * lo + cos * hi, rest], axis=1)


class PartRotary(Rotary):
    def frequencies(self):
        return jnp.asarray(10000.0, jnp.float32) ** (-2.0 * jnp.arange(ROTARY // 2) / ROTARY)


def standardise(p, t):
    t = t - jnp.mean(t, axis=-1, keepdims=True)
    return p["weight"] * t * jax.lax.rsqrt(jnp.mean(t * t, axis=-1, keepdims=True) + 1e-5) + p["bias"]


def sequence(w, rotary, x):
    """One sequence (tokens, width); the batch is mapped over outside."""
    h = standardise(w["norm1"], x)
    seen = jnp.arange(len(x))[:, None] >= jnp.arange(len(x))

    def head(q, k, v, out):
        query, key, value = (h @ p["weight"].T + p["bias"] for p in (q, k, v))
        logits = jnp.where(seen, rotary(query) @ rotary(key * DEPTH**-0.5).T, -jnp.inf)
        return jax.nn.softmax(logits, axis=1) @ value @ out

    by_head = lambda p: jax.tree.map(lambda t: t.reshape(HEADS, DEPTH, *t.shape[1:]), p)
    out = w["o_proj"]["weight"].T.reshape(HEADS, DEPTH, WIDTH)
    x = x + jax.vmap(head)(*(by_head(w[f"{i}_proj"]) for i in "qkv"), out).sum(axis=0)
    h = standardise(w["norm2"], x)
    gate, up = jnp.einsum("sm,cfm->csf", h, jnp.stack([w["gate_proj"]["weight"], w["up_proj"]["weight"]]))
    return x + jnp.einsum("sf,mf->sm", up * gate * jax.nn.sigmoid(gate), w["down_proj"]["weight"])


def ours(params, x):
    return jax.vmap(lambda row: sequence(params, Rotary(), row))(x)


def fixed(params, x):
    return jax.vmap(lambda row: sequence(params, PartRotary(), row))(x)
