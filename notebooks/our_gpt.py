"""Our re-implementation of `their_gpt`, on the same parameters. It has a fault."""

import jax
import jax.numpy as jnp

HEADS = 4


def norm(scale, x):
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * scale["g"] + scale["b"]


def dense(layer, x):
    return x @ layer["w"] + layer["b"]


def attention(layers, x, tap):
    length, width = x.shape
    scale = (width // HEADS) ** -0.5
    split = dense(layers["c_attn"], x).reshape(length, 3, HEADS, width // HEADS)
    query, key, value = split[:, 0], split[:, 1], split[:, 2]
    query, key, value = tap("q", query), tap("k", key), tap("v", value)
    query = query * scale
    scores = jnp.einsum("qhd,khd->hqk", query, key) * scale
    causal = jnp.arange(length)[:, None] >= jnp.arange(length)
    weights = tap("att", jax.nn.softmax(jnp.where(causal, scores, -1e10)))
    mixed = jnp.einsum("hqk,khd->qhd", weights, value)
    return dense(layers["c_proj"], mixed.reshape(length, width))


def forward(params, tokens, *, tap):
    x = tap("emb", params["wte"][tokens] + params["wpe"][: len(tokens)])
    for number, layer in enumerate(params["h"]):

        def named(name, value, prefix=f"h.{number}"):
            return tap(f"{prefix}.{name}", value)

        x += named("attn", attention(layer["attn"], norm(layer["ln_1"], x), named))
        hidden = jax.nn.gelu(dense(layer["mlp"]["c_fc"], norm(layer["ln_2"], x)))
        x = named("out", x + named("mlp", dense(layer["mlp"]["c_proj"], hidden)))
    return tap("logits", norm(params["ln_f"], x) @ params["wte"].T)
