"""ViT; positions are added to the patches before the class token is put in front (annotated labml #221)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

HEADS, DEPTH, PATCH = 3, 9, 5


def inputs():
    r = np.random.default_rng(111)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    v = lambda s, m=0.0: jnp.asarray(m + 0.1 * r.normal(size=s), jnp.float32)
    params = {"patch": n(27, 3, PATCH, PATCH) / 4, "patch_b": v(27), "cls": v(27), "pos": n(7, 27)}
    params |= {"qkv": n(81, 27), "qkv_b": v(81), "proj": n(27, 27)}
    params |= {"fc1": n(50, 27), "fc1_b": v(50), "fc2": n(27, 50)}
    params |= {f"g{i}": v(27, 1.0) for i in range(3)} | {f"b{i}": v(27) for i in range(3)}
    params["head"] = n(8, 27)
    return params, jnp.asarray(r.normal(size=(2, 3, 2 * PATCH, 3 * PATCH)), jnp.float32)


def reference(params, x):
    def ln(t, i):
        u = t.mean(-1, keepdims=True)
        s = jnp.square(t - u).mean(-1, keepdims=True)
        return (t - u) / jnp.sqrt(s + 1e-6) * params[f"g{i}"] + params[f"b{i}"]

    b = x.shape[0]
    h = jax.lax.conv_general_dilated(x, params["patch"], (PATCH, PATCH), "VALID")
    h = h.reshape(b, 27, -1).transpose(0, 2, 1) + params["patch_b"]
    h = jnp.concatenate([jnp.broadcast_to(params["cls"], (b, 1, 27)), h], axis=1) + params["pos"]
    s = h.shape[1]
    qkv = (ln(h, 0) @ params["qkv"].T + params["qkv_b"]).reshape(b, s, 3, HEADS, DEPTH)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    p = jax.nn.softmax(q * DEPTH**-0.5 @ k.transpose(0, 1, 3, 2), axis=-1)
    h = h + (p @ v).transpose(0, 2, 1, 3).reshape(b, s, -1) @ params["proj"].T
    z = jax.nn.gelu(ln(h, 1) @ params["fc1"].T + params["fc1_b"], approximate=False)
    h = h + z @ params["fc2"].T
    return ln(h, 2)[:, 0] @ params["head"].T


class Embedding(nnx.Module):
    def __init__(self, params, class_has_position):
        self.kernel = nnx.Param(params["patch"].transpose(2, 3, 1, 0))
        self.bias = nnx.Param(params["patch_b"])
        self.token, self.position = nnx.Param(params["cls"]), nnx.Param(params["pos"])
        self.class_has_position = class_has_position

    def __call__(self, image):
        b, c, h, w = image.shape
        cells = image.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
        patches = jnp.einsum("bcyixj,ijce->byxe", cells, self.kernel[...]).reshape(b, -1, self.bias.shape[0])
        table = self.position[...]
        patches = patches + (self.bias[...] + table[1:])  # FAULT
        token = self.token[...] + table[0] if self.class_has_position else self.token[...]  # FAULT
        return jnp.insert(patches, 0, token, axis=1)


class Block(nnx.Module):
    def __init__(self, params):
        self.p = nnx.data({k: nnx.Param(v) for k, v in params.items()})

    def norm(self, t, i):
        scaled = jax.nn.standardize(t, axis=-1, epsilon=1e-6)
        return self.p[f"g{i}"][...] * scaled + self.p[f"b{i}"][...]

    def __call__(self, t):
        kernel = self.p["qkv"][...].reshape(3, HEADS, DEPTH, -1)
        bias = self.p["qkv_b"][...].reshape(3, 1, 1, HEADS, DEPTH)
        q, k, v = jnp.einsum("btm,chdm->cbthd", self.norm(t, 0), kernel) + bias
        weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / DEPTH**0.5)
        out = self.p["proj"][...].reshape(-1, HEADS, DEPTH)
        t = t + jnp.einsum("bhqk,bkhd,mhd->bqm", weights, v, out)
        z = jnp.einsum("fm,btm->btf", self.p["fc1"][...], self.norm(t, 1)) + self.p["fc1_b"][...]
        z = 0.5 * z * jax.lax.erfc(-z * 0.5**0.5)
        t = t[:, 0] + jnp.einsum("bf,mf->bm", z[:, 0], self.p["fc2"][...])
        return jnp.einsum("bm,om->bo", self.norm(t, 2), self.p["head"][...])


def ours(params, x):
    return Block(params)(Embedding(params, class_has_position=False)(x))


def fixed(params, x):
    return Block(params)(Embedding(params, class_has_position=True)(x))
