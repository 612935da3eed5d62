"""DINOv2 classifier; the mean of the patch tokens takes in the register tokens (transformers #37817, #37836)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, PATCH, REGISTERS = 3, 8, 4, 3


def inputs():
    r = np.random.default_rng(104)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"patch": n(24, 3 * PATCH**2), "b_patch": 0.3 * n(24), "cls": n(24), "pos": n(10, 24)}
    params["reg"] = 3 * n(REGISTERS, 24)
    params |= {"qkv": n(72, 24), "b_qkv": 0.3 * n(72), "proj": n(24, 24), "b_proj": 0.3 * n(24)}
    params |= {"fc1": n(48, 24), "b_fc1": 0.3 * n(48), "fc2": n(24, 48), "b_fc2": 0.3 * n(24)}
    params |= {"head": n(5, 48), "b_head": n(5)}
    params |= {f"g{i}": jnp.asarray(1 + 0.1 * r.normal(size=24), jnp.float32) for i in range(3)}
    params |= {f"s{i}": jnp.asarray(0.1 * r.normal(size=24), jnp.float32) for i in range(3)}
    params |= {f"ls{i}": jnp.asarray(r.uniform(0.2, 0.6, size=24), jnp.float32) for i in range(2)}
    return params, jnp.asarray(r.normal(size=(2, 3, 12, 12)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        c = t - t.mean(-1, keepdims=True)
        return c / jnp.sqrt((c**2).mean(-1, keepdims=True) + 1e-6) * params[f"g{i}"] + params[f"s{i}"]

    b, rows = x.shape[0], x.shape[2] // PATCH
    t = x.reshape(b, 3, rows, PATCH, rows, PATCH).transpose(0, 2, 4, 1, 3, 5).reshape(b, rows * rows, -1)
    t = t @ params["patch"].T + params["b_patch"]
    t = jnp.concatenate([jnp.broadcast_to(params["cls"], (b, 1, 24)), t], 1) + params["pos"]
    t = jnp.concatenate([t[:, :1], jnp.broadcast_to(params["reg"], (b, REGISTERS, 24)), t[:, 1:]], 1)
    s = t.shape[1]
    qkv = ln(t, 0) @ params["qkv"].T + params["b_qkv"]
    q, k, v = qkv.reshape(b, s, 3, HEADS, DEPTH).transpose(2, 0, 3, 1, 4)
    y = jax.nn.softmax(q @ k.swapaxes(2, 3) * DEPTH**-0.5, axis=-1) @ v
    y = y.swapaxes(1, 2).reshape(b, s, 24) @ params["proj"].T + params["b_proj"]
    t = t + params["ls0"] * y
    y = jax.nn.gelu(ln(t, 1) @ params["fc1"].T + params["b_fc1"], approximate=False)
    t = ln(t + params["ls1"] * (y @ params["fc2"].T + params["b_fc2"]), 2)
    pooled = jnp.concatenate([t[:, 0], t[:, 1 + REGISTERS :].mean(1)], -1)
    return pooled @ params["head"].T + params["b_head"]


def layer_norm(params, t, i):
    mean = jnp.mean(t, axis=-1, keepdims=True)
    inv = jax.lax.rsqrt(jnp.var(t, axis=-1, keepdims=True) + 1e-6)
    return (t * inv - mean * inv) * params[f"g{i}"] + params[f"s{i}"]


def embed(params, images):
    kernel = params["patch"].reshape(-1, 3, PATCH, PATCH).transpose(2, 3, 1, 0)
    grid = jax.lax.conv_general_dilated(
        jnp.moveaxis(images, 1, -1), kernel, (PATCH, PATCH), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    patches = grid.reshape(grid.shape[0], -1, grid.shape[-1]) + (params["b_patch"] + params["pos"][1:])
    repeat = lambda t: jnp.repeat(t[None], grid.shape[0], axis=0)
    return jnp.concatenate([repeat((params["cls"] + params["pos"][0])[None]), repeat(params["reg"]), patches], axis=1)


def block(params, t):
    w, bias = params["qkv"].reshape(3, HEADS, DEPTH, -1), params["b_qkv"].reshape(3, 1, 1, HEADS, DEPTH)
    query, key, value = jnp.einsum("btm,chdm->cbthd", layer_norm(params, t, 0), w) + bias
    probs = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", query / np.sqrt(DEPTH), key))
    mixed = jnp.einsum("bhqk,bkhd,mhd->bqm", probs, value, params["proj"].reshape(-1, HEADS, DEPTH))
    t = (mixed + params["b_proj"]) * params["ls0"] + t
    u = jnp.einsum("btm,fm->btf", layer_norm(params, t, 1), params["fc1"]) + params["b_fc1"]
    u = u * (0.5 + 0.5 * jax.lax.erf(u / np.float32(np.sqrt(2))))
    return (jnp.einsum("btf,mf->btm", u, params["fc2"]) + params["b_fc2"]) * params["ls1"] + t


def _classify(params, x, prefix):
    tokens = layer_norm(params, block(params, embed(params, x)), 2)
    patches = tokens[:, prefix:]  # FAULT
    mean = jnp.sum(patches, axis=1) * (1 / patches.shape[1])  # FAULT
    for_class, for_mean = jnp.split(params["head"], 2, axis=1)
    return jnp.dot(tokens[:, 0], for_class.T) + jnp.dot(mean, for_mean.T) + params["b_head"]


def ours(params, x):
    return _classify(params, x, prefix=1)  # FAULT


def fixed(params, x):
    return _classify(params, x, prefix=1 + REGISTERS)
