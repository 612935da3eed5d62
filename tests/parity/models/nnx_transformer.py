"""A decoder of flax.nnx modules: LayerNorm, RoPE, grouped heads, gated MLP, dropout at inference.

Its weights are the state of the module.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

LAYERS, HEADS, GROUPS, HEAD, WIDTH, HIDDEN, VOCABULARY, LENGTH = 2, 4, 2, 12, 40, 56, 97, 13
EPSILON = 1e-6
BASE = 10_000.0


def build(dtype):
    # Only shapes are made: initializers would leave biases at zero and scales at one.
    definition, params, rest = nnx.split(
        nnx.eval_shape(lambda: Decoder(dtype, nnx.Rngs(0))), nnx.Param, ...
    )
    rng = np.random.default_rng(1)

    def trained(path, leaf):
        noise = rng.standard_normal(leaf.shape)
        centre, scale = (1, 0.2) if "scale" in jax.tree_util.keystr(path) else (0, WIDTH**-0.5)
        return jnp.asarray(centre + scale * noise, leaf.dtype)

    params = jax.tree_util.tree_map_with_path(trained, params)
    return nnx.merge(definition, params, jax.tree.map(jnp.zeros_like, rest))


def inputs(dtype):
    return (jnp.asarray(np.random.default_rng(0).integers(0, VOCABULARY, (2, LENGTH))),)


def rotated(x, positions):
    """Rotary positions on the halves of each head; x is B T N H."""
    exponents = jnp.arange(0, HEAD, 2, dtype=jnp.float32) / HEAD
    angles = positions[:, None, None] / BASE**exponents
    sin, cos = jnp.sin(angles), jnp.cos(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


class Attention(nnx.Module):
    def __init__(self, dtype, rngs):
        def linear(rows, columns):
            return nnx.Linear(
                rows, columns, use_bias=False, dtype=dtype, param_dtype=dtype, rngs=rngs
            )

        self.query = linear(WIDTH, HEADS * HEAD)
        self.key = linear(WIDTH, GROUPS * HEAD)
        self.value = linear(WIDTH, GROUPS * HEAD)
        self.out = linear(HEADS * HEAD, WIDTH)

    def __call__(self, x, tap):
        batch, length, _ = x.shape
        positions = jnp.arange(length)
        query = tap("query", self.query(x).reshape(batch, length, HEADS, HEAD))
        key = tap("key", self.key(x).reshape(batch, length, GROUPS, HEAD))
        value = tap("value", self.value(x).reshape(batch, length, GROUPS, HEAD))
        query = tap("query_rope", rotated(query, positions))
        key = tap("key_rope", rotated(key, positions))
        key, value = (jnp.repeat(x, HEADS // GROUPS, axis=2) for x in (key, value))
        scores = jnp.einsum("btnh,bsnh->bnts", query, key) / jnp.sqrt(HEAD).astype(x.dtype)
        causal = jnp.tril(jnp.ones((length, length), bool))
        scores = jnp.where(causal, scores, jnp.finfo(x.dtype).min)
        probs = tap("probs", jax.nn.softmax(scores, axis=-1))
        mixed = tap("mixed", jnp.einsum("bnts,bsnh->btnh", probs, value))
        return tap("attn", self.out(mixed.reshape(batch, length, HEADS * HEAD)))


class Block(nnx.Module):
    def __init__(self, dtype, rngs):
        kwargs = {"dtype": dtype, "param_dtype": dtype, "rngs": rngs}
        self.norm_1 = nnx.LayerNorm(WIDTH, epsilon=EPSILON, **kwargs)
        self.attention = Attention(dtype, rngs)
        self.norm_2 = nnx.LayerNorm(WIDTH, epsilon=EPSILON, **kwargs)
        self.gate = nnx.Linear(WIDTH, HIDDEN, **kwargs)
        self.up = nnx.Linear(WIDTH, HIDDEN, **kwargs)
        self.down = nnx.Linear(HIDDEN, WIDTH, **kwargs)
        self.dropout = nnx.Dropout(0.1, deterministic=True, rngs=rngs)

    def __call__(self, x, tap):
        normed = tap("norm_1", self.norm_1(x))
        x = tap("attn_residual", x + self.dropout(self.attention(normed, tap)))
        normed = tap("norm_2", self.norm_2(x))
        gated = tap("gated", jax.nn.silu(self.gate(normed)) * self.up(normed))
        return tap("residual", x + self.dropout(tap("mlp", self.down(gated))))


class Decoder(nnx.Module):
    def __init__(self, dtype, rngs):
        self.embed = nnx.Embed(VOCABULARY, WIDTH, dtype=dtype, param_dtype=dtype, rngs=rngs)
        self.blocks = nnx.List([Block(dtype, rngs) for _ in range(LAYERS)])
        self.norm = nnx.LayerNorm(WIDTH, epsilon=EPSILON, dtype=dtype, param_dtype=dtype, rngs=rngs)

    def __call__(self, tokens, *, tap=lambda _, value: value):
        x = tap("embed", self.embed(tokens) * jnp.sqrt(WIDTH).astype(self.embed.dtype))
        for number, block in enumerate(self.blocks):
            x = block(x, lambda name, value, n=number: tap(f"blocks.{n}.{name}", value))
        x = tap("norm", self.norm(x))
        return tap("logits", self.embed.attend(x))
