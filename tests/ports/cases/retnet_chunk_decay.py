"""RetNet by chunks; what earlier chunks left is decayed one step too little (Jamie-Stirling/RetNet #10)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WIDTH, CHUNK = 4, 8, 32, 4


def inputs():
    r = np.random.default_rng(313)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {k: n(WIDTH, WIDTH) for k in ("q_proj", "k_proj", "v_proj", "g_proj", "out_proj")}
    gammas = 1 - np.exp(np.linspace(np.log(1 / 2), np.log(1 / 8), HEADS))
    params |= {"gamma": jnp.asarray(gammas, jnp.float32)}
    params |= {"norm": jnp.asarray(1 + 0.2 * r.normal(size=WIDTH), jnp.float32)}
    return params, jnp.asarray(r.normal(size=(2, 12, WIDTH)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    h = x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * params["norm"]
    q, k, v = ((h @ params[f"{i}_proj"].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for i in "qkv")
    n, m = np.arange(s)[:, None], np.arange(s)[None, :]
    decay = jnp.where(n >= m, params["gamma"][:, None, None] ** np.maximum(n - m, 0), 0)
    retained = ((q @ k.transpose(0, 1, 3, 2)) * DEPTH**-0.5 * decay) @ v
    mean = retained.mean(-1, keepdims=True)
    retained = (retained - mean) / jnp.sqrt(((retained - mean) ** 2).mean(-1, keepdims=True) + 1e-3)
    retained = retained.transpose(0, 2, 1, 3).reshape(b, s, WIDTH)
    return x + (jax.nn.silu(h @ params["g_proj"].T) * retained) @ params["out_proj"].T


class Chunks:
    """One head's retention over (chunks, chunk, depth), with a (depth, depth) state between chunks."""

    def __init__(self, gamma):
        self.gamma, self.step = gamma, jnp.arange(CHUNK)

    def within(self, query, key, value):
        lag = self.step[:, None] - self.step
        decay = jnp.where(lag < 0, 0, jnp.power(self.gamma, jnp.abs(lag)))
        return (decay * jnp.einsum("id,jd->ij", query, key)) @ value

    def across(self, query, state):
        fade = jnp.power(self.gamma, self.step)  # FAULT
        return jnp.einsum("i,id,de->ie", fade, query, state)  # FAULT

    def carry(self, state, key, value):
        left = jnp.power(self.gamma, CHUNK - 1 - self.step)
        return state * self.gamma**CHUNK + jnp.einsum("j,jd,je->de", left, key, value)

    def __call__(self, query, key, value):
        def one(state, qkv):
            q, k, v = qkv
            out = self.within(q, k, v) + self.across(q, state)
            return self.carry(state, k, v).astype(state.dtype), out

        return jax.lax.scan(one, jnp.zeros((DEPTH, DEPTH), query.dtype), (query, key, value))[1]


class SteppedChunks(Chunks):
    def across(self, query, state):
        fade = jnp.power(self.gamma, 1 + self.step)
        return jnp.einsum("i,id,de->ie", fade, query, state)


def retain(chunks, gamma, query, key, value):
    """(batch, chunks, chunk, heads, depth), mapped over batch and heads."""
    over_heads = jax.vmap(lambda g, *qkv: chunks(g)(*qkv), in_axes=(0, 2, 2, 2), out_axes=2)
    return jax.vmap(over_heads, in_axes=(None, 0, 0, 0))(gamma, query, key, value)


def port(w, x, chunks):
    h = x * jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-6) * w["norm"]
    cut = lambda t: t.reshape(t.shape[0], -1, CHUNK, HEADS, DEPTH)
    query, key, value = (cut(jnp.einsum("bsm,om->bso", h, w[i])) for i in ("q_proj", "k_proj", "v_proj"))
    y = retain(chunks, w["gamma"], query, key * DEPTH**-0.5, value)
    y = (y - y.mean(axis=-1, keepdims=True)) * jax.lax.rsqrt(y.var(axis=-1, keepdims=True) + 1e-3)
    gate = jnp.einsum("bsm,om->bso", h, w["g_proj"])
    return x + jnp.einsum("bso,mo->bsm", gate * jax.nn.sigmoid(gate) * y.reshape(x.shape), w["out_proj"])


def ours(params, x):
    return port(params, x, Chunks)


def fixed(params, x):
    return port(params, x, SteppedChunks)
