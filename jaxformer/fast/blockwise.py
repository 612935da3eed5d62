"""Attention in blocks of queries, each over those keys alone that one of its queries may see.

Where the keys are many, or how many is known at run time only, the softmax is carried from block to
block of keys as a running maximum, sum and weighted sum, in float32 (Milakov and Gimelshein 2018;
Rabe and Staats 2021; Dao et al. 2022). So memory grows with the number of queries alone, and what
is computed with what is visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxformer.fast.rows import stacked

BLOCK = 256
# Keys that one query looks at together: a loop pays only where few of many slots are used.
_LONG_BLOCK = 1024
# Keys that a block of queries looks at together, where it is known which.
_SPAN = 2048
# Products of so few queries with their keys are faster one by one.
_FEW_QUERIES = 32
# Finite: a query that sees no key then weighs all that it looks at alike.
_MASKED = -1e30

# Given a slice of queries, the first of some keys and how many: which of them each query sees.
Visible = Callable[[slice, "Int[Array, ''] | int", int], Bool[Array, "B Q S"]]
# From one block of keys up to another.
Blocks = tuple[int, "int | Int[Array, '']"]


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
    own: Int[Array, ""] | int | None,
    window: int | None,
    spare: int = 0,
) -> Float[Array, "B T N H"]:
    """Softmax attention of unscaled queries; a query that sees no key gets the mean of all values.

    Args:
      key, value: S is a multiple of `block_size`.
      own: the slot of the first query's own key, which those of the others follow, and none that
        any of them sees; before it keys lie in any order. None if all do.
      window: W; None for no limit.
      spare: the last so many of the S slots are there to fill a block alone; nobody sees them.
    """
    length, slots = query.shape[1], key.shape[1]
    block = block_size(length, slots)
    rows = length if own is None else BLOCK
    keys = _Keys(key, value, visible, block, spare)
    chunks = []
    for start in range(0, length, rows):
        some = slice(start, min(start + rows, length))
        blocks = visible_blocks(some, own, window, block, slots)
        chunks.append(_attend(query, keys, some, scale, blocks))
    return chunks[0] if len(chunks) == 1 else jnp.concatenate(chunks, axis=1)


def visible_blocks(
    rows: slice, own: Int[Array, ""] | int | None, window: int | None, block: int, slots: int
) -> Blocks:
    """Which blocks of keys hold all that these queries may see; for `own` see `blockwise`."""
    if own is None or slots == block:
        return 0, -(-slots // block)
    last = -(-(own + rows.stop) // block)
    # The oldest key in the window, counted from the first query's own.
    oldest = -1 if window is None else rows.start - window + 1
    if isinstance(own, int) and oldest >= 0:
        return (own + oldest) // block, last
    return 0, last


@dataclass(frozen=True)
class _Keys:
    """What queries look at; for the fields see `blockwise`."""

    key: Float[Array, "B S K H"]
    value: Float[Array, "B S K H"]
    visible: Visible
    block: int
    spare: int

    @property
    def all_blocks(self) -> int:
        return self.key.shape[1] // self.block

    def part(self, start: Int[Array, ""] | int, size: int) -> tuple[jax.Array, jax.Array]:
        """Keys and values of so many slots from one on."""
        key, value = (
            jax.lax.dynamic_slice_in_dim(x, start, size, axis=1) for x in (self.key, self.value)
        )
        return key, value

    def masked(
        self, logits: Float[Array, "B K G Q S"], rows: slice, start: Int[Array, ""] | int
    ) -> Float[Array, "B K G Q S"]:
        """Logits of the slots from one on, as they count in a softmax."""
        size = logits.shape[-1]
        seen = self.visible(rows, start, size)[:, None, None]
        logits = jnp.where(seen, logits, _MASKED)
        if not self.spare:
            return logits
        real = start + jnp.arange(size) < self.key.shape[1] - self.spare
        return jnp.where(real, logits, -jnp.inf)

    def mean(self, dtype: jnp.dtype) -> Float[Array, "B K 1 1 H"]:
        """Of all values but the spare ones."""
        real = self.value[:, : self.value.shape[1] - self.spare]
        return jnp.mean(real, axis=1, dtype=dtype)[:, :, None, None]


def _attend(
    query: Float[Array, "B T N H"], keys: _Keys, rows: slice, scale: float, blocks: Blocks
) -> Float[Array, "B Q N H"]:
    """The queries of `rows` over the keys of `blocks`."""
    query = query[:, rows]
    batch, length, heads, width = query.shape
    groups = keys.key.shape[2]
    split = query.reshape(batch, length, groups, heads // groups, width)
    shape = (batch, groups, heads // groups, length)
    wide = jnp.promote_types(query.dtype, jnp.float32)

    def over(start: Int[Array, ""] | int, size: int, carried: Carried) -> Carried:
        top, total, mixed = carried
        key, value = keys.part(start, size)
        logits = keys.masked(scale * _scores(split, key), rows, start)
        new_top = jnp.maximum(top, logits.max(axis=-1))
        weights = jnp.exp(logits - new_top[..., None])
        kept = jnp.exp(top - new_top)
        added = jnp.einsum(
            "BKGTS,BSKH->BKGTH",
            weights.astype(value.dtype),
            value,
            preferred_element_type=wide,
        )
        return new_top, total * kept + weights.sum(axis=-1), mixed * kept[..., None] + added

    carried: Carried = (
        jnp.full(shape, _MASKED, wide),
        jnp.zeros(shape, wide),
        jnp.zeros((*shape, width), wide),
    )
    first, last = blocks
    block = keys.block
    partly = first > 0 or not isinstance(last, int) or last < keys.all_blocks
    if partly and length == 1:
        # For one query the mean of all values would take as long as attention itself: it is made
        # by looking at all of them, where there is such a query.
        sees = keys.visible(rows, 0, keys.key.shape[1]).any(axis=-1)
        last = jnp.where(sees.all(), last, keys.all_blocks)
    if isinstance(last, int) and (last - first) * block <= _SPAN:
        top, total, mixed = over(first * block, (last - first) * block, carried)
    else:
        top, total, mixed = jax.lax.fori_loop(
            first, last, lambda i, carried: over(i * block, block, carried), carried
        )
    out = mixed / total[..., None]
    if partly and length > 1:
        out = jnp.where((top == _MASKED)[..., None], keys.mean(wide), out)
    return jnp.moveaxis(out, 3, 1).reshape(batch, length, heads, width).astype(query.dtype)


Carried = tuple[jax.Array, ...]


def _scores(
    query: Float[Array, "B T K G H"], key: Float[Array, "B S K H"]
) -> Float[Array, "B K G T S"]:
    batch, length, groups, per_group, _ = query.shape
    if length == 1 and batch * groups * per_group <= _FEW_QUERIES:
        products = [stacked(key[b, :, k], query[b, 0, k]) for b, k in np.ndindex(batch, groups)]
        return jnp.stack(products).reshape(batch, groups, per_group, 1, -1)
    wide = jnp.promote_types(query.dtype, jnp.float32)
    return jnp.einsum("BTKGH,BSKH->BKGTS", query, key, preferred_element_type=wide)
