"""CLIP loss; the learned log scale multiplies the similarities without its exponential (M3D #52)."""

import jax
import jax.numpy as jnp
import numpy as np

BATCH, PATCHES, TOKENS, VISION, TEXT, SHARED, VOCAB = 6, 5, 7, 24, 32, 16, 40


def inputs():
    r = np.random.default_rng(311)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"patch": n(VISION, 12), "class": n(VISION), "visual_projection": n(SHARED, VISION)}
    params |= {"post_norm": 1 + n(VISION), "post_bias": n(VISION)}
    params |= {"token": 3 * n(VOCAB, TEXT), "position": n(TOKENS, TEXT)}
    params |= {"mixer": n(TEXT, TEXT), "final_norm": 1 + n(TEXT), "final_bias": n(TEXT)}
    params |= {"text_projection": n(SHARED, TEXT), "logit_scale": jnp.asarray(np.log(1 / 0.07), jnp.float32)}
    ids = r.integers(1, VOCAB - 1, (BATCH, TOKENS))
    ids[np.arange(BATCH), r.integers(3, TOKENS, BATCH)] = VOCAB - 1
    return params, 3 * n(BATCH, PATCHES, 12), jnp.asarray(ids, jnp.int32)


def reference(params, pixels, input_ids):
    def layer_norm(t, weight, bias):
        mean = t.mean(-1, keepdims=True)
        return (t - mean) / jnp.sqrt(((t - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * weight + bias

    cross_entropy = lambda logits: -jnp.mean(jnp.diag(jax.nn.log_softmax(logits, axis=-1)))
    patches = jax.nn.gelu(pixels @ params["patch"].T + params["class"])
    image = (patches.sum(1) + params["class"]) / (PATCHES + 1)
    image = layer_norm(image, params["post_norm"], params["post_bias"]) @ params["visual_projection"].T
    text = params["token"][input_ids] + params["position"]
    text = text + jnp.tanh(jnp.cumsum(text, axis=1) @ params["mixer"].T)
    text = layer_norm(text, params["final_norm"], params["final_bias"])
    text = text[jnp.arange(BATCH), input_ids.argmax(-1)] @ params["text_projection"].T
    image, text = (t / jnp.sqrt((t**2).sum(-1, keepdims=True)) for t in (image, text))
    logits = text @ image.T * jnp.exp(params["logit_scale"])
    return (cross_entropy(logits) + cross_entropy(logits.T)) / 2.0, logits.T


def standard(t, scale, shift):
    inverse = jax.lax.rsqrt(jnp.var(t, axis=-1, keepdims=True) + 1e-5)
    return scale * inverse * (t - jnp.mean(t, axis=-1, keepdims=True)) + shift


def vision_tower(w, pixels):
    hidden = jax.nn.gelu(jnp.einsum("bpc,vc->bpv", pixels, w["patch"]) + w["class"])
    pooled = jnp.insert(hidden, 0, w["class"], axis=1).mean(axis=1)
    return standard(pooled, w["post_norm"], w["post_bias"]) @ w["visual_projection"].T


def text_tower(w, ids):
    def one(row):
        t = jnp.take(w["token"], row, axis=0) + w["position"]
        running = jnp.tri(TOKENS, dtype=t.dtype) @ t
        t = t + jnp.tanh(jnp.einsum("sm,om->so", running, w["mixer"]))
        return w["text_projection"] @ standard(t[jnp.argsort(row)[-1]], w["final_norm"], w["final_bias"])

    return jax.vmap(one)(ids)


def unit(t):
    return t * jax.lax.rsqrt(jnp.einsum("bs,bs->b", t, t))[:, None]


def linear_scale(scale, image, text):
    return jnp.einsum("is,ts->it", scale * image, text)  # FAULT


def log_scale(scale, image, text):
    return jnp.einsum("is,ts->it", jnp.exp(scale) * image, text)


def contrast(logits):
    both = jax.nn.logsumexp(logits, axis=1) + jax.nn.logsumexp(logits, axis=0)
    return jnp.mean(both) / 2 - jnp.trace(logits) / len(logits)


def port(w, pixels, ids, compare):
    image, text = unit(vision_tower(w, pixels)), unit(text_tower(w, ids))
    logits = compare(w["logit_scale"], image, text)  # FAULT
    return contrast(logits), logits


def ours(params, pixels, input_ids):
    return port(params, pixels, input_ids, linear_scale)


def fixed(params, pixels, input_ids):
    return port(params, pixels, input_ids, log_scale)
