"""Sliding-window cache; the buffer is rolled a step too early, while its last slot is free (transformers #37574)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, WINDOW = 4, 8, 4


def inputs():
    r = np.random.default_rng(112)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(32, 32), "k": n(32, 32), "v": n(32, 32), "o": n(32, 32), "b_o": 0.3 * n(32)}
    params["norm"] = jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 8, 32)), jnp.float32)


def reference(params, x):
    b, s, e = x.shape
    inv = 1.0 / 10000.0 ** (jnp.arange(0, DEPTH, 2, dtype=jnp.float32) / DEPTH)

    def rotate(t, position):
        emb = jnp.tile(position * inv, 2)
        turned = jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
        return t * jnp.cos(emb) + turned * jnp.sin(emb)

    keys = jnp.zeros((b, HEADS, 0, DEPTH))
    values, outputs = keys, []
    for position in range(s):
        token = x[:, position]
        h = token * jax.lax.rsqrt((token**2).mean(-1, keepdims=True) + 1e-5) * params["norm"]
        q, k, v = ((h @ params[n].T).reshape(b, HEADS, 1, DEPTH) for n in "qkv")
        keys = jnp.concatenate([keys, rotate(k, position)], 2)[:, :, -WINDOW:]
        values = jnp.concatenate([values, v], 2)[:, :, -WINDOW:]
        p = jax.nn.softmax(rotate(q, position) @ keys.swapaxes(2, 3) / DEPTH**0.5, axis=-1)
        outputs.append(token + ((p @ values).reshape(b, e) @ params["o"].T + params["b_o"]))
    return jnp.stack(outputs, 1)


class SlidingCache:
    def __init__(self, batch, right):
        self.buffer = jnp.zeros((2, batch, WINDOW, HEADS, DEPTH))
        self.index, self.right = jnp.int32(0), right

    def append(self, key, value):
        full = self.index > WINDOW - 1 if self.right else self.index >= WINDOW - 1  # FAULT
        rolled = jnp.where(full, jnp.roll(self.buffer, -1, axis=2), self.buffer)  # FAULT
        slot = jnp.minimum(self.index, WINDOW - 1)
        self.buffer = jax.lax.dynamic_update_slice(rolled, jnp.stack([key, value])[:, :, None], (0, 0, slot, 0, 0))
        seen = jnp.arange(WINDOW) <= self.index
        self.index = self.index + 1
        return self.buffer[0], self.buffer[1], seen


def rope(t, position):
    angle = position * jnp.exp(jnp.arange(DEPTH // 2) * np.float32(-2 * np.log(10000.0) / DEPTH))
    lower, upper = t[..., : DEPTH // 2], t[..., DEPTH // 2 :]
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([c * lower - s * upper, s * lower + c * upper], axis=-1)


def decode_step(params, cache, token):
    size = jnp.sqrt(jnp.einsum("bm,bm->b", token, token) / token.shape[-1] + 1e-5)
    normed = params["norm"] * (token / size[:, None])
    query, key, value = (jnp.einsum("bm,hdm->bhd", normed, params[n].reshape(HEADS, DEPTH, -1)) for n in "qkv")
    query, key = rope(query, cache.index) * DEPTH**-0.5, rope(key, cache.index)
    keys, values, seen = cache.append(key, value)
    scores = jnp.where(seen, jnp.einsum("bhd,bwhd->bhw", query, keys), -jnp.inf)
    mixed = jnp.einsum("bhw,bwhd->bhd", jax.nn.softmax(scores), values)
    return jnp.einsum("bhd,mhd->bm", mixed, params["o"].reshape(-1, HEADS, DEPTH)) + params["b_o"] + token


def _generate(params, x, right):
    cache = SlidingCache(x.shape[0], right)
    return jnp.stack([decode_step(params, cache, x[:, t]) for t in range(x.shape[1])], axis=1)


def ours(params, x):
    return _generate(params, x, right=False)


def fixed(params, x):
    return _generate(params, x, right=True)
