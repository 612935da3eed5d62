"""GPT-NeoX attention; the fused projection, laid out head by head, is cut into thirds (mlxcel #928)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, ROTARY = 5, 6, 2


def inputs():
    r = np.random.default_rng(105)
    n = lambda *s: jnp.asarray(1.3 * r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"qkv": n(90, 30), "qkv_b": 0.5 * n(90), "dense": n(30, 30), "dense_b": 0.3 * n(30)}
    params["beta"] = 0.3 * n(30)
    params["gamma"] = jnp.asarray(1 + 0.1 * r.normal(size=30), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 7, 30)), jnp.float32)


def reference(params, x):
    b, s, e = x.shape
    mu = jnp.mean(x, axis=-1, keepdims=True)
    sigma = jnp.sqrt(jnp.mean((x - mu) ** 2, axis=-1, keepdims=True) + 1e-5)
    h = params["gamma"] * ((x - mu) / sigma) + params["beta"]
    qkv = (h @ params["qkv"].T + params["qkv_b"]).reshape(b, s, HEADS, 3 * DEPTH)
    q, k, v = (qkv[..., i * DEPTH : (i + 1) * DEPTH].transpose(0, 2, 1, 3) for i in range(3))
    angle = jnp.arange(s)[:, None] * jnp.ones(ROTARY)

    def rope(t):
        a, c = t[..., :1], t[..., 1:2]
        turned = t[..., :ROTARY] * jnp.cos(angle) + jnp.concatenate([-c, a], -1) * jnp.sin(angle)
        return jnp.concatenate([turned, t[..., ROTARY:]], axis=-1)

    scores = rope(q) @ rope(k).transpose(0, 1, 3, 2) / DEPTH**0.5
    scores = jnp.where(jnp.tril(jnp.ones((s, s), bool)), scores, -1e9)
    y = jax.nn.softmax(scores, axis=-1) @ v
    return y.transpose(0, 2, 1, 3).reshape(b, s, e) @ params["dense"].T + params["dense_b"]


def split_fused(tensor, per_head):
    """(3 * heads * depth, ...) -> (3, heads, depth, ...)."""
    if per_head:
        return jnp.moveaxis(tensor.reshape(HEADS, 3, DEPTH, *tensor.shape[1:]), 1, 0)
    return tensor.reshape(3, HEADS, DEPTH, *tensor.shape[1:])  # FAULT


class NeoXAttention:
    def __init__(self, params, per_head):
        # the norm's gain and shift go into the projection
        kernel = params["qkv"] * params["gamma"]
        bias = params["qkv_b"] + jnp.einsum("fm,m->f", params["qkv"], params["beta"])
        self.kernel = split_fused(kernel, per_head)  # FAULT
        self.bias = split_fused(bias, per_head)  # FAULT
        self.out = params["dense"].reshape(-1, HEADS, DEPTH)
        self.out_bias = params["dense_b"]

    def rope(self, t):
        time = jnp.arange(t.shape[2])
        c, s = jnp.cos(time), jnp.sin(time)
        first, second = t[..., 0] * c - t[..., 1] * s, t[..., 1] * c + t[..., 0] * s
        return t.at[..., 0].set(first.astype(t.dtype)).at[..., 1].set(second.astype(t.dtype))

    def __call__(self, x):
        plain = jax.nn.standardize(x, axis=-1, epsilon=1e-5)
        fused = jnp.einsum("bsm,chdm->cbhsd", plain, self.kernel) + self.bias[:, None, :, None]
        query, key, value = self.rope(fused[0] * DEPTH**-0.5), self.rope(fused[1]), fused[2]
        scores = jnp.einsum("bhqd,bhkd->bhkq", query, key)
        causal = jnp.triu(jnp.ones(scores.shape[-2:], bool))
        weights = jax.nn.softmax(scores, axis=2, where=causal)
        return jnp.einsum("bhkq,bhkd,mhd->bqm", weights, value, self.out) + self.out_bias


def ours(params, x):
    return NeoXAttention(params, per_head=False)(x)


def fixed(params, x):
    return NeoXAttention(params, per_head=True)(x)
