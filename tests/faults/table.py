"""Planted faults: small edits of jaxformer's source, and rewrites that change no values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One edit: the first `old` in a file becomes `new`.

    Attributes:
      at: a piece of the statement to be named; by default `new`. Where something is left out, that
        is the last statement before it.
      at_file: the file of that statement.
    """

    name: str
    file: str
    old: str
    new: str
    at: str = ""
    at_file: str = ""


L, A, M = "layers", "attention", "model"

FAULTS = [
    Edit("embedding scale", L, "jnp.sqrt(embedding.shape[-1])", "jnp.sqrt(embedding.shape[0])"),
    Edit("embedding row", L, "x = embedding[tokens]", "x = embedding[tokens + 1]"),
    Edit("embedding unscaled", L, "return x * jnp.sqrt(embedding.shape[-1]).astype(x.dtype)",
         "return x", at="x = embedding[tokens]"),
    Edit("norm epsilon", L, "mean_square + numerics.rms_norm_eps",
         "mean_square + 10 * numerics.rms_norm_eps"),
    Edit("norm axis", L, "jnp.square(wide), axis=-1", "jnp.square(wide), axis=1"),
    Edit("norm by sum", L, "jnp.mean(jnp.square(wide)", "jnp.sum(jnp.square(wide)"),
    Edit("norm by variance", L, "jnp.mean(jnp.square(wide), axis=-1, keepdims=True)",
         "jnp.var(wide, axis=-1, keepdims=True)"),
    Edit("norm without 1 +", L, "(1 + scale.astype(arithmetic))", "scale.astype(arithmetic)"),
    Edit("norm by 1 / sqrt", L, "jax.lax.rsqrt(mean_square + numerics.rms_norm_eps)",
         "(1 / jnp.sqrt(mean_square + numerics.rms_norm_eps))"),
    Edit("RoPE exponents", L, "(2.0 / head_width)", "(1.0 / head_width)"),
    Edit("RoPE base", L, "rope.base**exponents", "(10 * rope.base)**exponents"),
    Edit("RoPE positions", L, "positions[..., None] / timescale",
         "(positions[..., None] + 1) / timescale"),
    Edit("RoPE factor", L, "/ rope.factor", "/ (2 * rope.factor)"),
    Edit("RoPE interleaved", L, "jnp.split(x, 2, axis=-1)", "(x[..., ::2], x[..., 1::2])"),
    Edit("RoPE sign", L, "first * cos - second * sin", "first * cos + second * sin"),
    Edit("RoPE sine for cosine", L, "sin, cos = jnp.sin(angles), jnp.cos(angles)",
         "sin, cos = jnp.cos(angles), jnp.sin(angles)"),
    Edit("RoPE halves swapped", L, "jnp.concatenate(rotated, axis=-1)",
         "jnp.concatenate(rotated[::-1], axis=-1)"),
    Edit("RoPE angles in bfloat16", L, "jnp.sin(angles), jnp.cos(angles)",
         "jnp.sin(angles.astype(jnp.bfloat16)), jnp.cos(angles.astype(jnp.bfloat16))"),
    Edit("gate and up swapped", L, "return both[..., 0, :], both[..., 1, :]",
         "return both[..., 1, :], both[..., 0, :]"),
    Edit("exact GELU", L, "approximate=True", "approximate=False"),
    Edit("SiLU", L, "jax.nn.gelu(wide, approximate=True)", "jax.nn.silu(wide)"),
    Edit("gate added", L, "astype(kept) * up", "astype(kept) + up"),
    Edit("gate twice", L, "astype(kept) * up", "astype(kept) * gate"),
    Edit("tied embedding reversed", L, "jnp.dot(x, embedding.T)", "jnp.dot(x, embedding[::-1].T)"),
    Edit("positions from 1", A, "jnp.cumsum(valid, axis=-1) - 1", "jnp.cumsum(valid, axis=-1)"),
    Edit("mask excludes itself", A, "(key <= query)", "(key < query)"),
    Edit("mask sees ahead", A, "(key <= query)", "(key <= query + 1)"),
    Edit("window one longer", A, "key > query - window", "key > query - window - 1"),
    Edit("window lost", A, "key > query - window", "key > query - 10 * window"),
    Edit("query heads reversed", A, "x, params.query)", "x, params.query[::-1])"),
    Edit("key and value swapped", A, "key, value = jnp.einsum", "value, key = jnp.einsum"),
    Edit("query norm's scale", A, "rms_norm(query, params.query_norm",
         "rms_norm(query, params.key_norm"),
    Edit("key norm left out", A, "rms_norm(key, params.key_norm, numerics)", "key",
         at="key, value = jnp.einsum"),
    Edit("RoPE's least position", A, "jnp.maximum(positions, 0)", "jnp.maximum(positions, 1)"),
    Edit("RoPE of the key local", A, "apply_rope(key, rope_positions, config.rope(kind)",
         'apply_rope(key, rope_positions, config.rope("local")'),
    Edit("layer pattern", A, 'if kind == "local" else None', 'if kind == "global" else None',
         at="mask = key_valid"),
    Edit("softmax over queries", A, "jax.nn.softmax(wide, axis=-1)",
         "jax.nn.softmax(wide, axis=1)"),
    Edit("softmax not normalised", A, "jax.nn.softmax(wide, axis=-1)",
         "jnp.exp(wide - wide.max(-1, keepdims=True))"),
    Edit("scale squared", A, "query * config.query_scale", "query * config.query_scale**2"),
    Edit("query scaled twice", A, "logits = scores(query, key)",
         "logits = scores(query * config.query_scale, key)"),
    Edit("masked with 0", A, "logits, MASKED_LOGIT)", "logits, 0.0)"),
    Edit("heads grouped by turns", A,
         "x.reshape(batch, length, groups, heads // groups, last)",
         "x.reshape(batch, length, heads // groups, groups, last).swapaxes(2, 3)"),
    Edit("heads joined by turns", A, "x.reshape(batch, length, groups * per_group, last)",
         "x.swapaxes(2, 3).reshape(batch, length, groups * per_group, last)"),
    Edit("output heads reversed", A, "encoded, params.output)", "encoded, params.output[::-1])"),
    Edit("probabilities in bfloat16", A, ".astype(key.dtype)",
         ".astype(jnp.bfloat16).astype(key.dtype)"),
    Edit("residual of the normed", M, "attended + x)", "attended + normed)"),
    Edit("residual subtracted", M, "fed + residual)", "fed - residual)"),
    Edit("residual of the input", M, "fed + residual)", "fed + x)"),
    Edit("post norm left out", M, "rms_norm(attended, params.post_attention_norm, numerics)",
         "attended", at='out = jnp.einsum("BTNH,NHD', at_file=A),
    Edit("pre-MLP norm's scale", M, "rms_norm(residual, params.pre_ffw_norm",
         "rms_norm(residual, params.pre_attention_norm"),
    Edit("post-MLP norm's scale", M, "rms_norm(fed, params.post_ffw_norm",
         "rms_norm(fed, params.post_attention_norm"),
    Edit("order of norms", M, "rms_norm(residual, params.pre_ffw_norm",
         "rms_norm(attended, params.pre_ffw_norm"),
    Edit("GELU of another scale", L, "jax.nn.gelu(wide,", "jax.nn.gelu(1.702 * wide,"),
    Edit("MLP output reversed", L, "activations, output))", "activations, output[::-1]))"),
    Edit("norm scale doubled", L, "(1 + scale.astype(arithmetic))",
         "(1 + 2 * scale.astype(arithmetic))"),
    Edit("epsilon outside the root", L, "jax.lax.rsqrt(mean_square + numerics.rms_norm_eps)",
         "jax.lax.rsqrt(mean_square) + numerics.rms_norm_eps"),
    Edit("RoPE's other sign", L, "second * cos + first * sin", "second * cos - first * sin"),
    Edit("RoPE positions reversed", L, "positions[..., None] / timescale",
         "positions[..., ::-1, None] / timescale"),
    Edit("values normed", A, "weighted_values(probs, seen.value))",
         "weighted_values(probs, rms_norm(seen.value, params.key_norm, numerics)))"),
    Edit("keys for values", A, "weighted_values(probs, seen.value))",
         "weighted_values(probs, seen.key))"),
    Edit("mask or", A, "key_valid[:, None, :] & (key", "key_valid[:, None, :] | (key"),
    Edit("window on both sides", A, "mask &= key > query - window",
         "mask &= abs(key - query) < window // 2"),
    Edit("softmax temperature", A, "softmax(wide, axis=-1)", "softmax(wide / 2, axis=-1)"),
    Edit("query normed twice", A,
         "apply_rope(query, rope_positions, config.rope(kind), numerics))",
         "rms_norm(apply_rope(query, rope_positions, config.rope(kind), numerics), "
         "params.query_norm, numerics))"),
    Edit("soft cap", A, "logits = scores(query, key)",
         "logits = 50 * jnp.tanh(scores(query, key) / 50)"),
    Edit("residual doubled", M, "attended + x)", "attended + 2 * x)"),
    Edit("pre norm left out", M, "rms_norm(x, params.pre_attention_norm, numerics)", "x",
         at="return x * jnp.sqrt(emb", at_file=L),
    Edit("MLP of the residual", M, "gated_mlp(normed,", "gated_mlp(residual,"),
    Edit("final norm left out", M, "rms_norm(x, final_norm, config.numerics)", "x",
         at='return tap("output", fed'),
    Edit("MLP added twice", M, 'tap("output", fed + residual)',
         'tap("output", fed + fed + residual)'),
    Edit("final norm's scale", M, "rms_norm(x, final_norm,", "rms_norm(x, 2 * final_norm,"),
]  # fmt: skip

REWRITES = [
    Edit("square by product", L, "jnp.square(wide)", "wide * wide"),
    Edit("mean by sum", L, "jnp.mean(jnp.square(wide), axis=-1, keepdims=True)",
         "jnp.sum(jnp.square(wide), axis=-1, keepdims=True) / wide.shape[-1]"),
    Edit("sum the other way", L, "second * cos + first * sin", "first * sin + second * cos"),
    Edit("negated sine", L, "first * cos - second * sin", "first * cos + second * -sin"),
    Edit("slices for split", L, "jnp.split(x, 2, axis=-1)",
         "(x[..., : head_width // 2], x[..., head_width // 2 :])"),
    Edit("split gating", L, "gate_and_up(x, gating, numerics.gating)",
         'gate_and_up(x, gating, "split")'),
    Edit("heads first and back", A, "weighted_values(probs, seen.value))",
         "weighted_values(probs, seen.value).swapaxes(1, 2).swapaxes(1, 2))"),
    Edit("mask by difference", A, "key > query - window", "query - key < window"),
    Edit("mask negated", A, "jnp.where(mask[:, :, None, :], logits, MASKED_LOGIT)",
         "jnp.where(~mask[:, :, None, :], MASKED_LOGIT, logits)"),
    Edit("scale first", A, "query * config.query_scale", "config.query_scale * query"),
    Edit("residual the other way", M, "attended + x)", "x + attended)"),
    Edit("tokens reshaped", M, "embed(params.embedding, tokens)",
         "embed(params.embedding, tokens.reshape(-1)).reshape(*tokens.shape, -1)"),
]  # fmt: skip

ONE_BLOCK = {
    "local residual of the normed": Edit("local residual of the normed", M, "attended + x)",
        'attended + (normed if kind == "local" else x))'),
    "global residual of the input": Edit("global residual of the input", M, "fed + residual)",
        'fed + (residual if kind == "local" else x))'),
}  # fmt: skip

COMBINATIONS = [
    # in one stage
    ("norm epsilon", "norm without 1 +"),
    ("RoPE sign", "RoPE factor"),
    ("mask excludes itself", "scale squared"),
    ("softmax over queries", "query scaled twice"),
    # in two stages of one block
    ("query norm's scale", "gate twice"),
    ("RoPE base", "exact GELU"),
    ("embedding scale", "final norm's scale"),
    ("key and value swapped", "post-MLP norm's scale"),
    # in two blocks
    ("window one longer", "global residual of the input"),
    ("local residual of the normed", "RoPE of the key local"),
    # three
    ("RoPE exponents", "residual subtracted", "tied embedding reversed"),
    ("norm axis", "mask sees ahead", "output heads reversed"),
    ("window one longer", "RoPE of the key local", "final norm's scale"),
]
