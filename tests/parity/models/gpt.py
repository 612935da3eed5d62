"""A GPT in plain functions: LayerNorm, learned positions, one product for query, key and value.

Its weights are an argument.
"""

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HEADS, WIDTH, VOCABULARY, LENGTH = 2, 4, 48, 89, 14
EPSILON = 1e-5
MASKED = -1e9


def build(dtype):
    return forward


def inputs(dtype):
    rng = np.random.default_rng(0)

    def array(*shape, scale, centre=0.0):
        return jnp.asarray(centre + scale * rng.standard_normal(shape), dtype)

    def dense(rows, columns):
        return {
            "kernel": array(rows, columns, scale=rows**-0.5),
            "bias": array(columns, scale=0.1),
        }

    def norm():
        return {
            "scale": array(WIDTH, scale=0.2, centre=1.0),
            "bias": array(WIDTH, scale=0.1),
        }

    def block():
        return {
            "norm_1": norm(),
            "qkv": dense(WIDTH, 3 * WIDTH),
            "proj": dense(WIDTH, WIDTH),
            "norm_2": norm(),
            "up": dense(WIDTH, 4 * WIDTH),
            "down": dense(4 * WIDTH, WIDTH),
        }

    params = {
        "tokens": array(VOCABULARY, WIDTH, scale=0.3),
        "positions": array(2 * LENGTH, WIDTH, scale=0.1),
        "blocks": [block() for _ in range(LAYERS)],
        "norm": norm(),
    }
    return params, jnp.asarray(rng.integers(0, VOCABULARY, (2, LENGTH)))


def layer_norm(x, weights):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * weights["scale"] + weights["bias"]


def dense(x, weights):
    return x @ weights["kernel"] + weights["bias"]


def attention(x, block, tap):
    batch, length, width = x.shape
    head = width // HEADS
    qkv = dense(x, block["qkv"]).reshape(batch, length, 3, HEADS, head)
    query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    query, key, value = tap("query", query), tap("key", key), tap("value", value)
    scores = jnp.einsum("btnh,bsnh->bnts", query, key) * head**-0.5
    causal = jnp.arange(length)[:, None] >= jnp.arange(length)[None, :]
    scores = tap("scores", jnp.where(causal, scores, MASKED))
    probs = tap("probs", jax.nn.softmax(scores, axis=-1))
    mixed = tap("mixed", jnp.einsum("bnts,bsnh->btnh", probs, value))
    return tap("attn", dense(mixed.reshape(batch, length, width), block["proj"]))


def mlp(x, block, tap):
    hidden = tap("up", dense(x, block["up"]))
    hidden = tap("gelu", jax.nn.gelu(hidden, approximate=True))
    return tap("mlp", dense(hidden, block["down"]))


def forward(params, tokens, *, tap=lambda _, value: value):
    positions = jnp.arange(tokens.shape[1])
    x = tap("embed", params["tokens"][tokens] + params["positions"][positions])
    for number, block in enumerate(params["blocks"]):

        def named(name, value, prefix=f"h.{number}"):
            return tap(f"{prefix}.{name}", value)

        normed = named("norm_1", layer_norm(x, block["norm_1"]))
        x = named("attn_residual", x + attention(normed, block, named))
        normed = named("norm_2", layer_norm(x, block["norm_2"]))
        x = named("residual", x + mlp(normed, block, named))
    x = tap("norm", layer_norm(x, params["norm"]))
    return tap("logits", x @ params["tokens"].T)
