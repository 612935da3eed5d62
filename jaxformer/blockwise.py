"""Attention in blocks of keys, each of which is left out where no query of the block sees it.

The softmax is carried from block to block as a running maximum, sum and weighted sum, in float32
(Milakov and Gimelshein 2018; Rabe and Staats 2021; Dao et al. 2022), so that memory grows with the
number of queries alone, and what is computed with what is visible.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

BLOCK = 256
# One query reads its keys once either way: it is worth a loop only when few of many slots are used.
_FEW_SLOTS = 4 * BLOCK
_MASKED = -1e30

# Given a slice of queries and the first key of a block: which of its keys each query sees.
Visible = Callable[[slice, Int[Array, ""]], Bool[Array, "B Q S"]]


def pays(queries: int, keys: int) -> bool:
    """Blocks are faster than one product over all keys."""
    return keys > (_FEW_SLOTS if queries == 1 else BLOCK)


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
    """Softmax attention of unscaled queries; S is a multiple of the block.

    Args:
      used: only so many keys, from the first, may be seen; None where keys are the queries' own
        tokens, in order: then each query sees none after itself, and no more than the window.
      window: W; None for no limit.
    """
    length, slots = query.shape[1], key.shape[1]
    if used is not None or length != slots:
        last = slots if used is None else used
        return _attend(query, key, value, visible, slice(0, length), scale, 0, _blocks(last))
    chunks = []
    for start in range(0, length, BLOCK):
        rows = slice(start, start + BLOCK)
        first = 0 if window is None else max(0, start - window + 1) // BLOCK
        last_block = _blocks(start + BLOCK)
        chunks.append(_attend(query, key, value, visible, rows, scale, first, last_block))
    return jnp.concatenate(chunks, axis=1)


def _blocks(keys: int | Int[Array, ""]) -> int | Int[Array, ""]:
    return -(-keys // BLOCK)


def _attend(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S K H"],
    value: Float[Array, "B S K H"],
    visible: Visible,
    rows: slice,
    scale: float,
    first: int,
    last: int | Int[Array, ""],
) -> Float[Array, "B Q N H"]:
    """The queries of `rows` over the blocks of keys from `first` up to `last`."""
    query = query[:, rows]
    batch, length, heads, width = query.shape
    groups = key.shape[2]
    split = query.reshape(batch, length, groups, heads // groups, width)
    shape = (batch, groups, heads // groups, length)
    wide = jnp.promote_types(query.dtype, jnp.float32)

    def step(i: Int[Array, ""], carried: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        top, total, mixed = carried
        keys, values = (
            jax.lax.dynamic_slice_in_dim(x, i * BLOCK, BLOCK, axis=1) for x in (key, value)
        )
        logits = scale * jnp.einsum("BTKGH,BSKH->BKGTS", split, keys, preferred_element_type=wide)
        mask = visible(rows, i * BLOCK)[:, None, None]
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
    _, total, mixed = jax.lax.fori_loop(first, last, step, start)
    # A query that sees nothing, such as padding, gets zeros.
    out = mixed / jnp.where(total == 0, 1, total)[..., None]
    return jnp.moveaxis(out, 3, 1).reshape(batch, length, heads, width).astype(query.dtype)
