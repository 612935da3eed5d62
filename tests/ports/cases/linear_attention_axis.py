"""Linear attention over an image; the keys' softmax is taken over channels, not over positions (LiVOS #6)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH = 3, 9


def inputs():
    r = np.random.default_rng(117)
    n = lambda *s: jnp.asarray(1.5 * r.normal(size=s) / np.sqrt(s[1]), jnp.float32)
    params = {"qkv": n(81, 25), "out": n(25, 27)}
    params["out_bias"] = jnp.asarray(0.1 * r.normal(size=25), jnp.float32)
    params["gain"] = jnp.asarray(1 + 0.1 * r.normal(size=25), jnp.float32)
    params["bias"] = jnp.asarray(0.1 * r.normal(size=25), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 25, 5, 7)), jnp.float32)


def reference(params, x):
    b, c, h, w = x.shape
    mean = x.mean(1, keepdims=True)
    var = jnp.square(x - mean).mean(1, keepdims=True)
    t = (x - mean) / jnp.sqrt(var + 1e-5)
    t = t * params["gain"][None, :, None, None] + params["bias"][None, :, None, None]
    qkv = params["qkv"] @ t.reshape(b, c, h * w)
    q, k, v = (a.reshape(b, HEADS, DEPTH, h * w) for a in jnp.split(qkv, 3, axis=1))
    q = jax.nn.softmax(q, axis=-2) * DEPTH**-0.5
    k = jax.nn.softmax(k, axis=-1)
    context = k @ v.transpose(0, 1, 3, 2)
    y = context.transpose(0, 1, 3, 2) @ q
    y = params["out"] @ y.reshape(b, HEADS * DEPTH, h * w) + params["out_bias"][:, None]
    return x + y.reshape(b, c, h, w)


def channel_norm(pixels, gain, bias):
    """(positions, channels)."""
    first = jnp.einsum("nc->n", pixels)[:, None] / pixels.shape[1]
    second = jnp.einsum("nc,nc->n", pixels, pixels)[:, None] / pixels.shape[1]
    scale = jax.lax.rsqrt(second - first * first + 1e-5) * gain
    return pixels * scale + (bias - first * scale)


def share(logits, axis):
    weights = jnp.exp(logits - jnp.max(logits))
    return weights / jnp.sum(weights, axis, keepdims=True)


def _one_head(kernels, out, pixels, key_axis):
    query, key, value = jnp.einsum("nc,sdc->snd", pixels, kernels)
    query = share(query, axis=1)
    key = share(key, axis=key_axis)  # FAULT
    memory = jnp.einsum("nd,ne,ce->dc", key, value, out) / np.sqrt(DEPTH).item()
    return jnp.einsum("nd,dc->nc", query, memory)


def _one_image(params, image, key_axis):
    pixels = image.reshape(image.shape[0], -1).T
    normed = channel_norm(pixels, params["gain"], params["bias"])
    kernels = params["qkv"].reshape(3, HEADS, DEPTH, -1).swapaxes(0, 1)
    out = params["out"].reshape(-1, HEADS, DEPTH).swapaxes(0, 1)
    heads = jax.vmap(lambda k, o: _one_head(k, o, normed, key_axis))(kernels, out)
    mixed = pixels + (jnp.einsum("hnc->nc", heads) + params["out_bias"])
    return mixed.T.reshape(image.shape)


def ours(params, x):
    return jax.vmap(lambda image: _one_image(params, image, key_axis=1))(x)  # FAULT


def fixed(params, x):
    return jax.vmap(lambda image: _one_image(params, image, key_axis=0))(x)
