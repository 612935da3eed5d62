"""ViT position table resampled to a non-square grid; 'xy' meshgrid walks it column by column (torchtitan #4244)."""

import jax
import jax.numpy as jnp
import numpy as np

SIDE, PATCH, WIDTH = 3, 4, 48


def inputs():
    r = np.random.default_rng(114)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"patch": n(WIDTH, 3, PATCH, PATCH), "patch_b": n(WIDTH), "pos": 6 * n(SIDE * SIDE, WIDTH)}
    params |= {"g": jnp.asarray(1 + 0.2 * r.normal(size=WIDTH), jnp.float32), "b": n(WIDTH), "head": n(32, WIDTH)}
    return params, jnp.asarray(r.normal(size=(2, 3, 16, 24)), jnp.float32)


def reference(params, x):
    h = jax.lax.conv_general_dilated(x, params["patch"], (PATCH, PATCH), "VALID") + params["patch_b"][:, None, None]
    b, e, rows, cols = h.shape

    def blend(new):
        m = np.zeros((new, SIDE), np.float32)
        for i in range(new):
            at = min(max((i + 0.5) * SIDE / new - 0.5, 0.0), SIDE - 1.0)
            lo = min(int(at), SIDE - 2)
            m[i, lo], m[i, lo + 1] = 1 - (at - lo), at - lo
        return m

    pos = blend(rows) @ params["pos"].T.reshape(e, SIDE, SIDE) @ blend(cols).T
    h = (h + pos).reshape(b, e, rows * cols).transpose(0, 2, 1)
    mu = h.mean(-1, keepdims=True)
    h = (h - mu) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6) * params["g"] + params["b"]
    return h @ params["head"].T


class PositionTable:
    def __init__(self, table, right):
        self.table, self.indexing = table, "ij" if right else "xy"

    def centres(self, size):
        return jnp.clip((jnp.arange(size) + 0.5) * (SIDE / size) - 0.5, 0, SIDE - 1)

    def __call__(self, rows, columns):
        ys, xs = jnp.meshgrid(self.centres(rows), self.centres(columns), indexing=self.indexing)  # FAULT
        ys, xs = ys.ravel(), xs.ravel()  # FAULT
        top, left = jnp.floor(ys), jnp.floor(xs)
        down, across = (ys - top)[:, None], (xs - left)[:, None]
        row = lambda y: jnp.clip(y, 0, SIDE - 1).astype(jnp.int32) * SIDE
        column = lambda c: jnp.clip(c, 0, SIDE - 1).astype(jnp.int32)
        corner = lambda y, c: jnp.take(self.table, row(y) + column(c), axis=0)
        upper = corner(top, left) + across * (corner(top, left + 1) - corner(top, left))
        lower = corner(top + 1, left) + across * (corner(top + 1, left + 1) - corner(top + 1, left))
        return upper + down * (lower - upper)


def _vit(params, x, right):
    b, c, height, width = x.shape
    rows, columns = height // PATCH, width // PATCH
    cut = x.reshape(b, c, rows, PATCH, columns, PATCH)
    tokens = jnp.einsum("bcrpsq,ecpq->brse", cut, params["patch"]).reshape(b, rows * columns, -1)
    tokens = tokens + (PositionTable(params["pos"], right)(rows, columns) + params["patch_b"])  # FAULT
    centred = tokens - jnp.einsum("bse->bs", tokens)[..., None] / WIDTH
    size = jnp.einsum("bse,bse->bs", centred, centred)[..., None] / WIDTH
    scaled = centred * jax.lax.rsqrt(size + 1e-6)
    return jnp.einsum("bse,oe->bso", scaled, params["head"] * params["g"]) + params["head"] @ params["b"]


def ours(params, x):
    return _vit(params, x, right=False)


def fixed(params, x):
    return _vit(params, x, right=True)
