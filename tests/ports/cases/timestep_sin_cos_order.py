"""Timestep embedding of a video transformer; the sine and cosine halves are swapped (flashinfer #3819)."""

import jax
import jax.numpy as jnp
import numpy as np

CHANNELS, PERIOD = 28, 10000.0


def inputs():
    r = np.random.default_rng(104)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"w1": n(44, CHANNELS), "b1": 0.1 * n(44), "w2": n(36, 44), "b2": 0.1 * n(36), "mod": n(72, 36)}
    params |= {"mod_b": 0.1 * n(72), "out": n(30, 36)}
    x = {"t": r.uniform(0.1, 3.5, size=5), "h": r.normal(size=(5, 7, 36))}
    return params, {k: jnp.asarray(v, jnp.float32) for k, v in x.items()}


def reference(params, x):
    half = CHANNELS // 2
    exponent = -np.log(PERIOD) * np.arange(half) / half
    args = x["t"][:, None] * jnp.asarray(np.exp(exponent), x["t"].dtype)
    emb = jnp.concatenate([jnp.sin(args), jnp.cos(args)], axis=-1)
    emb = jnp.concatenate([emb[:, half:], emb[:, :half]], axis=-1)
    emb = jax.nn.silu(emb @ params["w1"].T + params["b1"]) @ params["w2"].T + params["b2"]
    shift, scale = jnp.split(jax.nn.silu(emb) @ params["mod"].T + params["mod_b"], 2, axis=-1)
    h = x["h"]
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    h = h * (1 + scale[:, None]) + shift[:, None]
    return h @ params["out"].T


class Timesteps:
    def __init__(self, channels, right):
        self.rates = [PERIOD ** (-2.0 * i / channels) for i in range(channels // 2)]
        self.right = right

    def __call__(self, time):
        """One time -> its embedding; e^(i angle) has the cosine and the sine."""
        wave = jnp.exp(1j * (jnp.array(self.rates, time.dtype) * time))
        parts = (wave.real, wave.imag) if self.right else (wave.imag, wave.real)  # FAULT
        return jnp.hstack(parts).astype(time.dtype)  # FAULT


class AdaLayerNorm:
    def __init__(self, params):
        self.kernel = params["mod"].reshape(2, -1, params["mod"].shape[1])
        self.bias = params["mod_b"].reshape(2, -1)

    def __call__(self, tokens, condition):
        condition = condition * jax.nn.sigmoid(condition)
        shift, scale = jnp.einsum("c,pdc->pd", condition, self.kernel) + self.bias
        centred = tokens - jnp.einsum("sd->s", tokens)[:, None] / tokens.shape[-1]
        spread = jnp.einsum("sd,sd->s", centred, centred) / tokens.shape[-1]
        return centred * jax.lax.rsqrt(spread + 1e-6)[:, None] * (scale + 1) + shift


def _sample(params, time, tokens, right):
    embedded = Timesteps(CHANNELS, right)(time.astype(jnp.promote_types(time.dtype, jnp.float32)))
    hidden = jnp.einsum("c,hc->h", embedded.astype(tokens.dtype), params["w1"]) + params["b1"]
    hidden = hidden / (1 + jnp.exp(-hidden))
    condition = jnp.einsum("h,dh->d", hidden, params["w2"]) + params["b2"]
    return jnp.einsum("sd,od->so", AdaLayerNorm(params)(tokens, condition), params["out"])


def ours(params, x):
    return jax.vmap(lambda t, h: _sample(params, t, h, right=False))(x["t"], x["h"])


def fixed(params, x):
    return jax.vmap(lambda t, h: _sample(params, t, h, right=True))(x["t"], x["h"])
