"""Decoding with a KV cache; the past length counts the new token too, so a step writes one slot too far (onnxruntime-genai #2354)."""

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HEADS, DEPTH, PREFILL, SLOTS = 2, 4, 8, 5, 16


def inputs():
    r = np.random.default_rng(108)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    gain = lambda: jnp.asarray(1 + 0.2 * r.normal(size=32), jnp.float32)
    layer = lambda: {"q": n(32, 32), "k": 2 * n(32, 32), "v": n(32, 32), "o": n(32, 32), "g": gain()}
    return {"layers": [layer() for _ in range(LAYERS)], "final": gain()}, jnp.asarray(r.normal(size=(2, 9, 32)), jnp.float32)


def reference(params, x):
    def norm(t, g):
        return t / jnp.sqrt((t**2).mean(-1, keepdims=True) + 1e-6) * g

    def rope(t):
        inv = 1.0 / 10000.0 ** (jnp.arange(0, DEPTH, 2) / DEPTH)
        emb = jnp.tile(jnp.outer(jnp.arange(t.shape[2]), inv), 2)
        half = jnp.concatenate([-t[..., DEPTH // 2 :], t[..., : DEPTH // 2]], -1)
        return t * jnp.cos(emb) + half * jnp.sin(emb)

    b, s, e = x.shape
    for p in params["layers"]:
        h = norm(x, p["g"])
        q, k, v = ((h @ p[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
        scores = rope(q) @ rope(k).transpose(0, 1, 3, 2) / DEPTH**0.5
        scores = jnp.where(jnp.tril(jnp.ones((s, s), bool)), scores, -1e9)
        y = jax.nn.softmax(scores, axis=-1) @ v
        x = x + y.transpose(0, 2, 1, 3).reshape(b, s, e) @ p["o"].T
    return norm(x, params["final"])


def rms(t, weight):
    return weight * t * jax.lax.rsqrt(jnp.einsum("...m,...m->...", t, t) / t.shape[-1] + 1e-6)[..., None]


def turn(t, positions):
    rate = jnp.exp(jnp.arange(DEPTH // 2) * (-2 * np.log(10000.0) / DEPTH))
    angle = (rate * positions[:, None, None]).astype(t.dtype)
    a, b = jnp.split(t, 2, axis=-1)
    return jnp.concatenate([a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)], axis=-1)


def forward(params, tokens, cache, past):
    positions = past + jnp.arange(tokens.shape[1])  # FAULT
    new_cache = []
    for p, (keys, values) in zip(params["layers"], cache):
        heads = lambda name: jnp.einsum("bsm,hdm->bshd", rms(tokens, p["g"]), p[name].reshape(HEADS, DEPTH, -1))
        keys = jax.lax.dynamic_update_slice(keys, turn(heads("k"), positions), (0, past, 0, 0))  # FAULT
        values = jax.lax.dynamic_update_slice(values, heads("v"), (0, past, 0, 0))  # FAULT
        logits = jnp.einsum("bqhd,bkhd->bqhk", turn(heads("q"), positions) * DEPTH**-0.5, keys)
        seen = jnp.arange(SLOTS) <= positions[:, None]
        logits = jnp.where(seen[:, None, :], logits, -jnp.inf)
        mixed = jnp.einsum("bqhk,bkhd->bqhd", jax.nn.softmax(logits), values)
        tokens = jnp.einsum("bqhd,mhd->bqm", mixed, p["o"].reshape(-1, HEADS, DEPTH)) + tokens
        new_cache.append((keys, values))
    return rms(tokens, params["final"]), new_cache


def _generate(params, x, right):
    empty = lambda: jnp.zeros((x.shape[0], SLOTS, HEADS, DEPTH), x.dtype)
    cache = [(empty(), empty()) for _ in range(LAYERS)]
    prompt, cache = forward(params, x[:, :PREFILL], cache, 0)

    def decode(carry, token):
        cache, processed = carry
        token = token[:, None]
        past = processed if right else processed + token.shape[1]  # FAULT
        out, cache = forward(params, token, cache, past)
        return (cache, processed + token.shape[1]), out[:, 0]

    _, rest = jax.lax.scan(decode, (cache, PREFILL), x[:, PREFILL:].swapaxes(0, 1))
    return jnp.concatenate([prompt, rest.swapaxes(0, 1)], axis=1)


def ours(params, x):
    return _generate(params, x, right=False)


def fixed(params, x):
    return _generate(params, x, right=True)
