"""ALiBi; six heads get one geometric series of slopes, as only a power of two of them may (mlx #3071)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 6, 7


def inputs():
    r = np.random.default_rng(115)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    wide = HEADS * DEPTH
    params = {"qkv": 1.5 * n(3 * wide, 44), "qkv_b": 0.1 * n(3 * wide), "o": n(44, wide), "o_b": 0.1 * n(44)}
    params |= {"g": jnp.asarray(1 + 0.1 * r.normal(size=44), jnp.float32), "s": 0.3 * n(44)}
    return params, jnp.asarray(r.normal(size=(2, 12, 44)), jnp.float32)


def reference(params, x):
    def slopes(count):
        if np.log2(count).is_integer():
            start = 2 ** (-(2 ** -(np.log2(count) - 3)))
            return [start ** (i + 1) for i in range(count)]
        lower = 2 ** int(np.log2(count))
        return slopes(lower) + slopes(2 * lower)[0::2][: count - lower]

    b, t, _ = x.shape
    mean = x.mean(-1, keepdims=True)
    h = (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    h = h * params["g"] + params["s"]
    qkv = (h @ params["qkv"].T + params["qkv_b"]).reshape(b, t, 3, HEADS, DEPTH)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    distance = np.arange(t)[None, :] - np.arange(t)[:, None]
    alibi = np.array(slopes(HEADS))[:, None, None] * distance
    alibi = jnp.asarray(np.where(distance > 0, -1e9, alibi), x.dtype)
    att = jax.nn.softmax(q @ k.swapaxes(-1, -2) / DEPTH**0.5 + alibi, axis=-1)
    y = (att @ v).transpose(0, 2, 1, 3).reshape(b, t, -1)
    return x + y @ params["o"].T + params["o_b"]


class Alibi:
    """A head's bias counts from the first key: what differs from the distance is the same for all keys."""

    def __init__(self, heads, right):
        self.heads, self.right = heads, right

    def exponents(self):
        if not self.right:
            return 8.0 * np.arange(1, self.heads + 1) / self.heads  # FAULT
        whole = 1 << (self.heads.bit_length() - 1)
        between = np.arange(self.heads - whole) + 0.5
        return 8.0 * np.concatenate([np.arange(1, whole + 1), between]) / whole

    def __call__(self, length, dtype):
        return jnp.asarray(np.outer(np.exp2(-self.exponents()), np.arange(length)), dtype)  # FAULT


def layer_norm(t, gain, shift):
    centred = t - jnp.einsum("btm->bt", t)[..., None] / t.shape[-1]
    power = jnp.einsum("btm,btm->bt", centred, centred)[..., None] / t.shape[-1]
    return gain * jax.lax.rsqrt(power + 1e-5) * centred + shift


def _attention(params, x, right):
    kernels = params["qkv"].reshape(3, HEADS, DEPTH, -1)
    biases = params["qkv_b"].reshape(3, 1, HEADS, DEPTH)
    normed = layer_norm(x, params["g"], params["s"])
    query, key, value = (jnp.einsum("btm,hdm->bthd", normed, w) + c for w, c in zip(kernels, biases))
    length = x.shape[1]
    scores = jnp.einsum("bthd,bshd->btsh", query * DEPTH**-0.5, key) + Alibi(HEADS, right)(length, x.dtype).T
    causal = jnp.tril(jnp.ones((length, length), bool))[..., None]
    weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=2)
    mixed = jnp.einsum("btsh,bshd->bthd", weights, value)
    return jnp.einsum("bthd,mhd->btm", mixed, params["o"].reshape(-1, HEADS, DEPTH)) + (params["o_b"] + x)


def ours(params, x):
    return _attention(params, x, right=False)


def fixed(params, x):
    return _attention(params, x, right=True)
