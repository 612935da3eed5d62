"""Swin window attention; the columns are rolled by the rows' shift (physicsnemo #1399, WeatherLearn #4)."""

import jax
import jax.numpy as jnp
import numpy as np

GRID, WINDOW, SHIFT, HEADS, WIDTH = (4, 8), (2, 4), (1, 2), 2, 16


def inputs():
    r = np.random.default_rng(302)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    table = (2 * WINDOW[0] - 1) * (2 * WINDOW[1] - 1)
    params = {"qkv": 1.5 * n(3 * WIDTH, WIDTH), "qkv_b": 0.3 * n(3 * WIDTH), "table": n(table, HEADS)}
    params |= {"proj": n(WIDTH, WIDTH), "proj_b": n(WIDTH)}
    return params, jnp.asarray(r.normal(size=(2, *GRID, WIDTH)), jnp.float32)


def _relative_index():
    y, x = np.divmod(np.arange(WINDOW[0] * WINDOW[1]), WINDOW[1])
    return (y[:, None] - y + WINDOW[0] - 1) * (2 * WINDOW[1] - 1) + x[:, None] - x + WINDOW[1] - 1


def reference(params, x):
    B, H, W, C = x.shape
    h, w = WINDOW

    def partition(t):
        t = t.reshape(-1, H // h, h, W // w, w, t.shape[-1])
        return t.transpose(0, 1, 3, 2, 4, 5).reshape(-1, h * w, t.shape[-1])

    t = jnp.roll(x, (-SHIFT[0], -SHIFT[1]), axis=(1, 2))
    img = np.zeros((1, H, W, 1))
    for i, rows in enumerate((slice(0, -h), slice(-h, -SHIFT[0]), slice(-SHIFT[0], None))):
        for j, cols in enumerate((slice(0, -w), slice(-w, -SHIFT[1]), slice(-SHIFT[1], None))):
            img[:, rows, cols] = 3 * i + j
    ids = partition(img)[..., 0]
    mask = jnp.tile(jnp.where(ids[:, None] != ids[:, :, None], -100, 0), (B, 1, 1)).astype(x.dtype)
    qkv = partition(t) @ params["qkv"].T + params["qkv_b"]
    q, k, v = qkv.reshape(-1, h * w, 3, HEADS, C // HEADS).transpose(2, 0, 3, 1, 4)
    attn = (q * (C // HEADS) ** -0.5) @ k.swapaxes(-2, -1)
    attn = attn + params["table"][_relative_index()].transpose(2, 0, 1) + mask[:, None]
    t = (jax.nn.softmax(attn, -1) @ v).transpose(0, 2, 1, 3).reshape(B, H // h, W // w, h, w, C)
    t = (t @ params["proj"].T + params["proj_b"]).transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)
    return x + jnp.roll(t, SHIFT, axis=(1, 2))


def _shift_rows_twice(grid):
    grid = jnp.concatenate([grid[SHIFT[0] :], grid[: SHIFT[0]]])
    return jnp.concatenate([grid[:, SHIFT[0] :], grid[:, : SHIFT[0]]], axis=1)  # FAULT


def _shift_both(grid):
    grid = jnp.concatenate([grid[SHIFT[0] :], grid[: SHIFT[0]]])
    return jnp.concatenate([grid[:, SHIFT[1] :], grid[:, : SHIFT[1]]], axis=1)


def _bands(size, *ends):
    return sum((jnp.arange(size) >= size - end).astype(int) for end in ends)


def _block(params, x, shift):
    tall, wide = WINDOW
    across = (GRID[0] // tall, tall, GRID[1] // wide, wide)
    region = 3 * _bands(GRID[0], tall, SHIFT[0])[:, None] + _bands(GRID[1], wide, SHIFT[1])
    region = region.reshape(across)
    together = region[..., None, None] == region.transpose(0, 2, 1, 3)[:, None, :, None]
    weight = params["qkv"].reshape(3, HEADS, -1, WIDTH)
    offset = params["qkv_b"].reshape(3, HEADS, *[1] * 4, -1)
    bias = params["table"].T[:, _relative_index()].reshape(HEADS, 1, tall, 1, wide, tall, wide)

    def image(grid):
        cells = shift(grid).reshape(*across, WIDTH)
        q, k, v = jnp.einsum("aibjc,ghdc->ghaibjd", cells, weight) + offset
        scores = jnp.einsum("haibjd,hakbld->haibjkl", q, k) / (WIDTH // HEADS) ** 0.5 + bias
        shares = jax.nn.softmax(jnp.where(together, scores, -jnp.inf), axis=(-2, -1))
        mixed = jnp.einsum("haibjkl,hakbld->aibjhd", shares, v).reshape(*GRID, WIDTH)
        out = jnp.einsum("yxc,oc->yxo", mixed, params["proj"]) + params["proj_b"]
        out = jnp.concatenate([out[:, -SHIFT[1] :], out[:, : -SHIFT[1]]], axis=1)
        return grid + jnp.concatenate([out[-SHIFT[0] :], out[: -SHIFT[0]]])

    return jax.vmap(image)(x)


def ours(params, x):
    return _block(params, x, _shift_rows_twice)


def fixed(params, x):
    return _block(params, x, _shift_both)
