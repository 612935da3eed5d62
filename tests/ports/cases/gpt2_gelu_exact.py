"""GPT-2 block; the MLP uses the exact GELU where the model's is the tanh one (nntile #370)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 3, 12


def inputs():
    r = np.random.default_rng(107)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[0]), jnp.float32)
    params = {"c_attn": n(36, 108), "c_proj": n(36, 36), "c_fc": 2 * n(36, 60), "c_proj2": n(60, 36)}
    params |= {name: jnp.asarray(0.1 * r.normal(size=s), jnp.float32) for name, s in
               (("b_attn", 108), ("b_proj", 36), ("b_fc", 60), ("b_proj2", 36), ("beta1", 36), ("beta2", 36))}
    params |= {f"gamma{i}": jnp.asarray(1 + 0.1 * r.normal(size=36), jnp.float32) for i in (1, 2)}
    return params, jnp.asarray(r.normal(size=(2, 10, 36)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        u = jnp.mean(t, axis=-1, keepdims=True)
        s = jnp.mean((t - u) ** 2, axis=-1, keepdims=True)
        return (t - u) * jax.lax.rsqrt(s + 1e-5) * params[f"gamma{i}"] + params[f"beta{i}"]

    b, s, e = x.shape
    c = ln(x, 1) @ params["c_attn"] + params["b_attn"]
    q, k, v = (t.reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for t in jnp.split(c, 3, axis=2))
    w = q @ k.transpose(0, 1, 3, 2) / np.sqrt(DEPTH).item()
    mask = jnp.tril(jnp.ones((s, s)))
    w = w * mask - 1e10 * (1 - mask)
    a = (jax.nn.softmax(w, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, s, e)
    x = x + a @ params["c_proj"] + params["b_proj"]
    h = ln(x, 2) @ params["c_fc"] + params["b_fc"]
    h = 0.5 * h * (1 + jnp.tanh(np.sqrt(2 / np.pi).item() * (h + 0.044715 * h**3)))
    return x + h @ params["c_proj2"] + params["b_proj2"]


def affine(x, kernel, bias):
    return jnp.einsum("io,bti->bto", kernel, x) + bias


def normalize(x, gamma, beta):
    moments = jnp.stack([x, x * x]).sum(-1) / x.shape[-1]
    spread = jnp.sqrt(moments[1] - moments[0] ** 2 + 1e-5)
    return beta + (x - moments[0][..., None]) * gamma / spread[..., None]


def exact_gelu(x):
    return 0.5 * x * jax.lax.erfc(-x * 0.5**0.5)


def tanh_gelu(x):
    return x * jax.nn.sigmoid(1.5957691216057308 * x * (1 + 0.044715 * jnp.square(x)))


def _block(params, x, activation):
    normed = normalize(x, params["gamma1"], params["beta1"])

    def one_head(kernel, bias, out):
        query, key, value = jnp.split(affine(normed, kernel, bias), 3, axis=-1)
        scores = jnp.einsum("bqd,bkd->bqk", query, key * DEPTH**-0.5)
        reach = jnp.arange(x.shape[1])
        masked = jnp.where(reach[:, None] < reach, -jnp.inf, scores)
        mixed = jnp.einsum("bqk,bkd->bqd", jnp.exp(jax.nn.log_softmax(masked)), value)
        return jnp.einsum("bqd,de->bqe", mixed, out)

    kernels = params["c_attn"].reshape(-1, 3, HEADS, DEPTH).transpose(2, 0, 1, 3)
    kernels = kernels.reshape(HEADS, -1, 3 * DEPTH)
    biases = params["b_attn"].reshape(3, HEADS, DEPTH).swapaxes(0, 1).reshape(HEADS, -1)
    outs = params["c_proj"].reshape(HEADS, DEPTH, -1)
    x = x + params["b_proj"] + sum(one_head(*weights) for weights in zip(kernels, biases, outs))
    hidden = affine(normalize(x, params["gamma2"], params["beta2"]), params["c_fc"], params["b_fc"])
    hidden = activation(hidden)  # FAULT
    return x + affine(hidden, params["c_proj2"], params["b_proj2"])


def ours(params, x):
    return _block(params, x, activation=exact_gelu)  # FAULT


def fixed(params, x):
    return _block(params, x, activation=tanh_gelu)
