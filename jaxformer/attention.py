"""Positions, masks and grouped-query attention. Shapes use the letters of `Config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxformer.config import Config, LayerKind
from jaxformer.fast.blockwise import block_size, blockwise, pays
from jaxformer.fast.fused import fused, has_kernel
from jaxformer.fast.rows import Rows
from jaxformer.layers import apply_rope, arithmetic_dtype, rms_norm
from jaxformer.params import AttentionParams
from jaxformer.taps import Tap

PADDING_ID = 0
# The official package's stand-in for minus infinity: finite, see `attention`.
MASKED_LOGIT = -2.3819763e38


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Keys:
    """Keys and values of S tokens, in any order, each with its position.

    Attributes:
      valid: False for what no query may see: padding, or a slot never written.
      own: the slot of the first of the tokens at hand, which the others follow in order and no
        valid key does; padding lies at their ends. None where keys are in no order at all.
    """

    key: Float[Array, "B S K H"]
    value: Float[Array, "B S K H"]
    positions: Int[Array, "B S"]
    valid: Bool[Array, "B S"]
    own: Int[Array, ""] | int | None = None


# Given the keys of the tokens at hand: all keys that these tokens may look at, and what to
# remember of them.
Memory = Callable[[Keys], tuple[Keys, Any]]


def no_memory(fresh: Keys) -> tuple[Keys, None]:
    """Of a run without a cache: tokens look at each other, nothing is kept."""
    return fresh, None


def positions_of(valid: Bool[Array, "B T"]) -> Int[Array, "B T"]:
    """Position of each token among the valid ones of its row; -1 before the first.

    Padding after a valid token shares that token's position. Derived from the data at run time:
    constant positions would let XLA fold sin and cos at compile time, with other roundings.
    """
    return jnp.cumsum(valid, axis=-1) - 1


def attention_mask(
    query_positions: Int[Array, "B T"],
    key_positions: Int[Array, "B S"],
    key_valid: Bool[Array, "B S"],
    window: int | None,
) -> Bool[Array, "B T S"]:
    """True where a query may look: valid keys at or before it, the last `window` of them.

    Only positions are compared, never row numbers, so that a cache in any order is masked right.

    Args:
      window: W, keys seen including the query's own; None on global layers.
    """
    query = query_positions[:, :, None]
    key = key_positions[:, None, :]
    mask = key_valid[:, None, :] & (key <= query)
    if window is not None:
        mask &= key > query - window
    return mask


def attention(
    params: AttentionParams,
    x: Float[Array, "B T D"],
    positions: Int[Array, "B T"],
    valid: Bool[Array, "B T"],
    config: Config,
    kind: LayerKind,
    tap: Tap,
    memory: Memory = no_memory,
) -> tuple[Float[Array, "B T D"], Any]:
    """Self-attention of one block on its normalised input, output projection included.

    Queries are grouped as K x G rather than keys and values repeated (Ainslie et al. 2023).
    Queries and keys are RMS-normed per head before RoPE.

    A query that sees none of the S keys at hand weighs them all alike, so it gets the mean of their
    values, in every formulation: the official package's stand-in for minus infinity is finite.
    Padding alone can be such a query, and no valid token looks at padding. With a cache the keys at
    hand are its slots, written or not, so there padding gets another mean than without.

    Returns:
      The block's attention output, and what `memory` wants remembered.
    """
    numerics = config.numerics
    if isinstance(params.query, Rows):
        query = params.query(x)
    else:
        query = jnp.einsum("BTD,NDH->BTNH", x, params.query)
    query = tap("query", query)
    if isinstance(params.key_value, Rows):
        key, value = jnp.moveaxis(params.key_value(x), 2, 0)
    else:
        key, value = jnp.einsum("BSD,CKDH->CBSKH", x, params.key_value)
    key, value = tap("key", key), tap("value", value)

    query = tap("query_norm", rms_norm(query, params.query_norm, numerics))
    key = tap("key_norm", rms_norm(key, params.key_norm, numerics))

    rope_positions = jnp.maximum(positions, 0)
    query = tap("query_rope", apply_rope(query, rope_positions, config.rope(kind), numerics))
    key = tap("key_rope", apply_rope(key, rope_positions, config.rope(kind), numerics))

    window = config.window if kind == "local" else None
    seen, remembered = memory(Keys(key, value, positions, valid, own=0))
    fast = numerics.formulation == "fast"
    if fast and (has_kernel(query) or pays(query.shape[1], seen.key.shape[1])):
        encoded = tap("encoded", _encoded(query, seen, positions, window, config))
    else:
        mask = attention_mask(positions, seen.positions, seen.valid, window)
        probs = tap("probs", _probabilities(query, seen.key, mask, config))
        encoded = tap("encoded", weighted_values(probs, seen.value))
    if isinstance(params.output, Rows):
        out = params.output(encoded)
    else:
        out = jnp.einsum("BTNH,NHD->BTD", encoded, params.output)
    return tap("output", out), remembered


def scores(query: Float[Array, "B T N H"], key: Float[Array, "B S K H"]) -> Float[Array, "B T N S"]:
    """Dot product of each query with the keys of its group; keys are not repeated.

    A single key head is left to einsum's broadcasting, which drops the axis: a batched product
    over K = 1 would be another kernel, and in float32 other bits than the official package's.
    """
    if key.shape[2] == 1:
        return jnp.einsum("BTNH,BSNH->BTNS", query, key)
    grouped = _split_heads(query, key.shape[2])
    return _join_heads(jnp.einsum("BTKGH,BSKH->BTKGS", grouped, key))


def weighted_values(
    probs: Float[Array, "B T N S"], value: Float[Array, "B S K H"]
) -> Float[Array, "B T N H"]:
    """Sum of each group's values by probability; grouped as in `scores`."""
    if value.shape[2] == 1:
        return jnp.einsum("BTNS,BSNH->BTNH", probs, value)
    grouped = _split_heads(probs, value.shape[2])
    return _join_heads(jnp.einsum("BTKGS,BSKH->BTKGH", grouped, value))


def _encoded(
    query: Float[Array, "B T N H"],
    seen: Keys,
    positions: Int[Array, "B T"],
    window: int | None,
    config: Config,
) -> Float[Array, "B T N H"]:
    """What `weighted_values` gives, without probabilities of keys that nobody sees."""
    if has_kernel(query):
        mask = attention_mask(positions, seen.positions, seen.valid, window)
        return fused(query, seen.key, seen.value, mask, config.query_scale)
    slots = seen.key.shape[1]
    block = block_size(query.shape[1], slots)
    spare = -slots % block
    if spare:
        padding = [(0, 0), (0, spare)]
        seen = dataclasses.replace(
            seen,
            key=jnp.pad(seen.key, [*padding, (0, 0), (0, 0)]),
            value=jnp.pad(seen.value, [*padding, (0, 0), (0, 0)]),
            positions=jnp.pad(seen.positions, padding),
            valid=jnp.pad(seen.valid, padding),
        )

    def visible(rows: slice, start: Int[Array, ""] | int, size: int) -> Bool[Array, "B Q S"]:
        at, valid = (
            jax.lax.dynamic_slice_in_dim(x, start, size, axis=1)
            for x in (seen.positions, seen.valid)
        )
        return attention_mask(positions[:, rows], at, valid, window)

    return blockwise(
        query,
        seen.key,
        seen.value,
        visible,
        scale=config.query_scale,
        own=seen.own,
        window=window,
        spare=spare,
    )


def _split_heads(x: Float[Array, "B T N X"], groups: int) -> Float[Array, "B T K G X"]:
    batch, length, heads, last = x.shape
    return x.reshape(batch, length, groups, heads // groups, last)


def _join_heads(x: Float[Array, "B T K G X"]) -> Float[Array, "B T N X"]:
    batch, length, groups, per_group, last = x.shape
    return x.reshape(batch, length, groups * per_group, last)


def _probabilities(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S K H"],
    mask: Bool[Array, "B T S"],
    config: Config,
) -> Float[Array, "B T N S"]:
    """Softmax over the visible keys, in the key's dtype."""
    numerics = config.numerics
    if numerics.query_scaling == "query":
        query = query * config.query_scale
    logits = scores(query, key)
    if numerics.query_scaling == "logits":
        # In float32: 168^-0.5 is no bfloat16.
        logits = (logits.astype(jnp.float32) * config.query_scale).astype(logits.dtype)
    logits = jnp.where(mask[:, :, None, :], logits, MASKED_LOGIT)
    wide = logits.astype(arithmetic_dtype(numerics.softmax_dtype, logits))
    return jax.nn.softmax(wide, axis=-1).astype(key.dtype)
