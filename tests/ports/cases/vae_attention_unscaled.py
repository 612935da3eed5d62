"""VAE decoder's middle attention; the scores are not scaled by the channels' root (GenerativeModels #146)."""

import jax
import jax.numpy as jnp
import numpy as np

CHANNELS, GROUPS, IMAGE, EPS = 32, 4, 3, 1e-6


def inputs():
    r = np.random.default_rng(306)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(np.prod(s[1:])), jnp.float32)
    params = {k: n(CHANNELS, CHANNELS, 1, 1) for k in ("q", "k", "v", "proj_out")}
    params["conv_out"] = n(IMAGE, CHANNELS, 3, 3)
    params |= {k + "_b": 0.1 * jnp.asarray(r.normal(size=w.shape[0]), jnp.float32) for k, w in params.items()}
    for name in ("norm", "norm_out"):
        params[name] = jnp.asarray(r.uniform(0.7, 1.3, CHANNELS), jnp.float32)
        params[name + "_b"] = jnp.asarray(0.2 * r.normal(size=CHANNELS), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, CHANNELS, 3, 4)), jnp.float32)


def reference(params, x):
    def conv(h, name):
        pad = params[name].shape[-1] // 2
        h = jax.lax.conv_general_dilated(h, params[name], (1, 1), [(pad, pad)] * 2)
        return h + params[name + "_b"][:, None, None]

    def normalize(h, name):
        g = h.reshape(h.shape[0], GROUPS, -1)
        g = (g - g.mean(-1, keepdims=True)) / jnp.sqrt(g.var(-1, keepdims=True) + EPS)
        return g.reshape(h.shape) * params[name][:, None, None] + params[name + "_b"][:, None, None]

    b, c, h, w = x.shape
    q, k, v = (conv(normalize(x, "norm"), name).reshape(b, c, h * w) for name in ("q", "k", "v"))
    weights = jax.nn.softmax((q.transpose(0, 2, 1) @ k) * c**-0.5, axis=2)
    out = (v @ weights.transpose(0, 2, 1)).reshape(b, c, h, w)
    x = x + conv(out, "proj_out")
    return conv(jax.nn.silu(normalize(x, "norm_out")), "conv_out")


def _group_norm(tokens, gain, shift):
    parts = tokens.reshape(len(tokens), GROUPS, -1)
    parts = parts - parts.mean((0, 2), keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(parts * parts, (0, 2), keepdims=True) + EPS)
    return (parts * scale).reshape(tokens.shape) * gain + shift


def _agreement(query, key):
    return jnp.einsum("qc,kc->qk", query, key)  # FAULT


def _scaled_agreement(query, key):
    return jnp.einsum("qc,kc->qk", query / np.sqrt(query.shape[-1]).item(), key)


def _attend(params, tokens, agreement):
    normed = _group_norm(tokens, params["norm"], params["norm_b"])
    fused = jnp.stack([params[name][:, :, 0, 0] for name in ("q", "k", "v")])
    offsets = jnp.stack([params[name + "_b"] for name in ("q", "k", "v")])
    query, key, value = jnp.einsum("tc,poc->pto", normed, fused) + offsets[:, None]
    logits = agreement(query, key)
    raised = jnp.exp(logits - logits.max(-1, keepdims=True))  # FAULT
    mixed = jnp.einsum("qk,kc->qc", raised, value) / raised.sum(-1)[:, None]
    return tokens + mixed @ params["proj_out"][:, :, 0, 0].T + params["proj_out_b"]


def _decode(params, x, agreement):
    height, width = x.shape[2:]

    def image(planes):
        tokens = planes.reshape(CHANNELS, -1).T
        tokens = _attend(params, tokens, agreement)
        tokens = _group_norm(tokens, params["norm_out"], params["norm_out_b"])
        tokens = tokens * (1 / (1 + jnp.exp(-tokens)))
        framed = jnp.pad(tokens.reshape(height, width, -1), ((1, 1), (1, 1), (0, 0)))
        total = params["conv_out_b"][:, None, None]
        for i, j in np.ndindex(3, 3):
            window = framed[i : i + height, j : j + width]
            total = total + jnp.einsum("yxc,oc->oyx", window, params["conv_out"][:, :, i, j])
        return total

    return jax.vmap(image)(x)


def ours(params, x):
    return _decode(params, x, _agreement)


def fixed(params, x):
    return _decode(params, x, _scaled_agreement)
