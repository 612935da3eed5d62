"""DiT's last layer; shift and scale are read in diffusers' order from a checkpoint in the original order (InvokeAI #7708)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, FREQ, PATCH, CHANNELS, ROWS, COLUMNS = 32, 16, 2, 4, 2, 3


def inputs():
    r = np.random.default_rng(113)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"t1": n(WIDTH, FREQ), "t1_b": n(WIDTH), "t2": n(WIDTH, WIDTH), "t2_b": n(WIDTH)}
    params |= {"ada": n(2 * WIDTH, WIDTH), "ada_b": n(2 * WIDTH), "out": n(PATCH * PATCH * CHANNELS, WIDTH)}
    params["out_b"] = n(PATCH * PATCH * CHANNELS)
    tokens = jnp.asarray(r.normal(size=(2, ROWS * COLUMNS, WIDTH)), jnp.float32)
    return params, {"tokens": tokens, "t": jnp.asarray([3.0, 41.5], jnp.float32)}


def reference(params, x):
    freqs = jnp.exp(-np.log(10000) * jnp.arange(FREQ // 2) / (FREQ // 2))
    args = x["t"][:, None] * freqs[None]
    emb = jnp.concatenate([jnp.cos(args), jnp.sin(args)], axis=-1)
    c = jax.nn.silu(emb @ params["t1"].T + params["t1_b"]) @ params["t2"].T + params["t2_b"]
    shift, scale = jnp.split(jax.nn.silu(c) @ params["ada"].T + params["ada_b"], 2, axis=1)
    h = x["tokens"]
    mu = h.mean(-1, keepdims=True)
    h = (h - mu) / jnp.sqrt(((h - mu) ** 2).mean(-1, keepdims=True) + 1e-6)
    h = h * (1 + scale[:, None]) + shift[:, None]
    h = h @ params["out"].T + params["out_b"]
    h = h.reshape(-1, ROWS, COLUMNS, PATCH, PATCH, CHANNELS)
    return jnp.einsum("nhwpqc->nchpwq", h).reshape(-1, CHANNELS, ROWS * PATCH, COLUMNS * PATCH)


class TimeEmbedding:
    def __init__(self, params):
        self.p = params

    def __call__(self, t):
        half = FREQ // 2
        angle = jnp.einsum("b,f->fb", t, jnp.power(1e-4, jnp.arange(half) / half))
        low, high = self.p["t1"][:, :half], self.p["t1"][:, half:]
        hidden = low @ jnp.cos(angle) + high @ jnp.sin(angle) + self.p["t1_b"][:, None]
        return jnp.einsum("hb,oh->bo", hidden * jax.nn.sigmoid(hidden), self.p["t2"]) + self.p["t2_b"]


class AdaLayerNormContinuous:
    def __init__(self, params, right):
        self.kernel = params["ada"].reshape(2, WIDTH, WIDTH)
        self.bias, self.right = params["ada_b"].reshape(2, WIDTH), right

    def __call__(self, t, conditioning):
        active = conditioning / (1 + jnp.exp(-conditioning))
        pair = jnp.einsum("bm,com->cbo", active, self.kernel) + self.bias[:, None]
        if self.right:
            shift, scale = pair
        else:
            scale, shift = pair  # FAULT
        mean = jnp.mean(t, axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.mean(t * t, axis=-1, keepdims=True) - mean * mean + 1e-6)
        gain = inverse * (scale[:, None] + 1)  # FAULT
        return t * gain + (shift[:, None] - mean * gain)  # FAULT


def _final(params, x, right):
    normed = AdaLayerNormContinuous(params, right)(x["tokens"], TimeEmbedding(params)(x["t"]))
    kernel = params["out"].reshape(PATCH, PATCH, CHANNELS, WIDTH)
    grid = normed.reshape(-1, ROWS, COLUMNS, WIDTH)
    pixels = jnp.einsum("nhwm,pqcm->nchpwq", grid, kernel)
    pixels = pixels + params["out_b"].reshape(PATCH, PATCH, CHANNELS).transpose(2, 0, 1)[:, None, :, None]
    return pixels.reshape(*pixels.shape[:2], ROWS * PATCH, -1)


def ours(params, x):
    return _final(params, x, right=False)


def fixed(params, x):
    return _final(params, x, right=True)
