"""Attention in blocks of keys, each of which is left out where no query of the block sees it.

The softmax is carried from block to block as a running maximum, sum and weighted sum, in float32
(Milakov and Gimelshein 2018; Rabe and Staats 2021; Dao et al. 2022), so that memory grows with the
number of queries alone, and what is computed with what is visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxformer.rows import stacked

BLOCK = 256
# Keys that one query looks at together: a loop pays only where few of many slots are used.
_LONG_BLOCK = 1024
# Products of so few queries with their keys are faster one by one.
_FEW_QUERIES = 32
_MASKED = -1e30

# Given a slice of queries and the first key of a block: which of its keys each query sees.
Visible = Callable[[slice, Int[Array, ""]], Bool[Array, "B Q S"]]


def block_size(queries: int, slots: int) -> int:
    """Keys per block; where it does not divide the slots, they have to be padded.

    A single query takes as many together as divide them, for padding would copy a whole cache.
    """
    if queries > 1:
        return BLOCK
    return slots if slots <= _LONG_BLOCK else max(BLOCK, math.gcd(slots, _LONG_BLOCK))


def pays(queries: int, slots: int) -> bool:
    """Blocks are faster than one product over all keys."""
    return queries == 1 or slots > BLOCK


def blockwise(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S K H"],
    value: Float[Array, "B S K H"],
    visible: Visible,
    *,
    scale: float,
    used: Int[Array, ""] | None,
    window: int | None,
) -> Float[Array, "B T N H"]:
    """Softmax attention of unscaled queries; S is a multiple of `block_size`.

    Args:
      used: only so many keys, from the first, may be seen; None where keys are the queries' own
        tokens, in order: then each query sees none after itself, and no more than the window.
      window: W; None for no limit.
    """
    length, slots = query.shape[1], key.shape[1]
    block = block_size(length, slots)
    if used is not None or length != slots:
        seen = slots if used is None else used
        last = 1 if block == slots else -(-seen // block)
        return _attend(query, key, value, visible, slice(0, length), scale, (0, last), block)
    chunks = []
    for start in range(0, length, block):
        rows = slice(start, start + block)
        first = 0 if window is None else max(0, start - window + 1) // block
        blocks = (first, start // block + 1)
        chunks.append(_attend(query, key, value, visible, rows, scale, blocks, block))
    return jnp.concatenate(chunks, axis=1)


def _attend(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S K H"],
    value: Float[Array, "B S K H"],
    visible: Visible,
    rows: slice,
    scale: float,
    blocks: tuple[int, int | Int[Array, ""]],
    block: int,
) -> Float[Array, "B Q N H"]:
    """The queries of `rows` over the keys of `blocks`, from the one up to the other."""
    query = query[:, rows]
    batch, length, heads, width = query.shape
    groups = key.shape[2]
    split = query.reshape(batch, length, groups, heads // groups, width)
    shape = (batch, groups, heads // groups, length)
    wide = jnp.promote_types(query.dtype, jnp.float32)

    def step(i: Int[Array, ""], carried: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        top, total, mixed = carried
        keys, values = (
            jax.lax.dynamic_slice_in_dim(x, i * block, block, axis=1) for x in (key, value)
        )
        logits = scale * _scores(split, keys)
        mask = visible(rows, i * block)[:, None, None]
        new_top = jnp.maximum(top, jnp.where(mask, logits, _MASKED).max(axis=-1))
        weights = jnp.where(mask, jnp.exp(logits - new_top[..., None]), 0)
        kept = jnp.exp(top - new_top)
        added = jnp.einsum(
            "BKGTS,BSKH->BKGTH",
            weights.astype(values.dtype),
            values,
            preferred_element_type=wide,
        )
        return new_top, total * kept + weights.sum(axis=-1), mixed * kept[..., None] + added

    start = (
        jnp.full(shape, _MASKED, wide),
        jnp.zeros(shape, wide),
        jnp.zeros((*shape, width), wide),
    )
    first, last = blocks
    if isinstance(last, int) and last == first + 1:
        _, total, mixed = step(jnp.int32(first), start)
    else:
        _, total, mixed = jax.lax.fori_loop(first, last, step, start)
    # A query that sees nothing, such as padding, gets zeros.
    out = mixed / jnp.where(total == 0, 1, total)[..., None]
    return jnp.moveaxis(out, 3, 1).reshape(batch, length, heads, width).astype(query.dtype)


def _scores(
    query: Float[Array, "B T K G H"], key: Float[Array, "B S K H"]
) -> Float[Array, "B K G T S"]:
    batch, length, groups, per_group, _ = query.shape
    if length == 1 and batch * groups * per_group <= _FEW_QUERIES:
        products = [stacked(key[b, :, k], query[b, 0, k]) for b, k in np.ndindex(batch, groups)]
        return jnp.stack(products).reshape(batch, groups, per_group, 1, -1)
    wide = jnp.promote_types(query.dtype, jnp.float32)
    return jnp.einsum("BTKGH,BSKH->BKGTS", query, key, preferred_element_type=wide)
