"""The key/value cache: a ring of W slots on local layers, a line of slots on global ones.

Rows of a batch share one time: token number t of every row lies in slot t (on a ring, t mod W).
Rows of different lengths are padded on the left, so that they end together. What a query may see is
told from the positions stored beside the keys, never from slot numbers: padding and slots never
written hold position -1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt16

from jaxformer.attention import PADDING_ID, Keys, Memory, positions_of
from jaxformer.config import Config, LayerKind
from jaxformer.layers import embed
from jaxformer.model import block, depth_of, head
from jaxformer.params import Params
from jaxformer.taps import Tap, no_tap, prefixed

_NO_POSITION = -1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerCache:
    """What one layer remembers, in S slots: the capacity, or at most W on a local layer.

    A packed one keeps bfloat16 as its bits, in uint16: to write one bfloat16 slot, XLA on a CPU
    would widen the whole array, and narrow it again.
    """

    key: Float[Array, "B S K H"] | UInt16[Array, "B S K H"]
    value: Float[Array, "B S K H"] | UInt16[Array, "B S K H"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cache:
    """Of every layer that is run.

    Attributes:
      positions: of the token in each slot, one array for all layers of a kind.
      time: slots written so far, padding included.
      counts: valid tokens of each row so far.
    """

    layers: tuple[LayerCache, ...]
    positions: dict[LayerKind, Int[Array, "B S"]]
    time: Int[Array, ""]
    counts: Int[Array, " B"]


def empty_cache(
    config: Config,
    batch: int,
    capacity: int,
    dtype: DTypeLike,
    *,
    blocks: int | None = None,
    packed: bool = False,
) -> Cache:
    """A cache for `capacity` tokens a row, padding included, in the dtype of the parameters.

    Args:
      packed: keep bfloat16 as bits, see `LayerCache`; an oracle can't widen those.

    Raises:
      ValueError: batch or capacity below 1.
    """
    if batch < 1 or capacity < 1:
        raise ValueError(f"batch and capacity must be at least 1, got {batch} and {capacity}")
    slots = {"local": min(config.window, capacity), "global": capacity}
    kinds = config.layer_kinds[:blocks]

    def zeros(kind: LayerKind) -> jax.Array:
        shape = (batch, slots[kind], config.num_kv_heads, config.head_width)
        zeros = jnp.zeros(shape, dtype)
        return _packed(zeros) if packed else zeros

    return Cache(
        layers=tuple(LayerCache(zeros(kind), zeros(kind)) for kind in kinds),
        positions={
            kind: jnp.full((batch, slots[kind]), _NO_POSITION, jnp.int32)
            for kind in dict.fromkeys(kinds)
        },
        time=jnp.zeros((), jnp.int32),
        counts=jnp.zeros(batch, jnp.int32),
    )


def cached_forward(
    params: Params,
    tokens: Int[Array, "B T"],
    cache: Cache,
    config: Config,
    *,
    valid: Bool[Array, "B T"] | None = None,
    tap: Tap = no_tap,
    blocks: int | None = None,
) -> tuple[jax.Array, Cache]:
    """`model.forward` of the next T tokens, which also see what the cache holds.

    Args:
      tokens: the caller sees to it that T more fit the capacity: a write past the end can't be an
        error under jit, it would land elsewhere.
      valid: which tokens are real; by default all but the padding id. Padding comes before the
        first valid token of a row, or after its last. What is returned for it is of no use: it
        sees slots, and other slots with another cache or other pieces of a row.

    Returns:
      What `forward` returns, with [B T N S] over slots at `attn.probs`; and the cache with these
      tokens in it.
    """
    depth = depth_of(params, config, blocks)
    valid = tokens != PADDING_ID if valid is None else valid
    positions = next_positions(cache, valid)
    x = tap("embed", embed(params.embedding, tokens))
    layers = []
    for i in range(depth):
        kind = config.layer_kinds[i]
        memory = layer_memory(cache.layers[i], cache.positions[kind], cache.time, kind)
        named = prefixed(tap, f"blocks.{i}")
        x, layer = block(params.blocks[i], x, positions, valid, config, kind, named, memory)
        layers.append(layer)
    if depth == config.num_blocks:
        x = head(params.final_norm, params.embedding, x, config, tap)
    return x, advanced(cache, tuple(layers), positions, valid)


def next_positions(cache: Cache, valid: Bool[Array, "B T"]) -> Int[Array, "B T"]:
    """Positions of the next T tokens among the valid ones of their rows, counted on."""
    return cache.counts[:, None] + positions_of(valid)


def layer_memory(
    layer: LayerCache, stored: Int[Array, "B S"], time: Int[Array, ""] | int, kind: LayerKind
) -> Memory:
    """Memory over a layer's cache that remembers the cache with the new tokens in it.

    Several new tokens on a ring see the ring as it was and each other: writing them first would
    push out keys that the earlier of them still see.

    Args:
      time: a Python 0 where that is known when the program is compiled: the first tokens see only
        each other.
    """

    def memory(fresh: Keys) -> tuple[Keys, LayerCache]:
        length = fresh.key.shape[1]
        write = _writer(kind, time, length, stored.shape[1])
        dtype = fresh.key.dtype
        key, value = fresh.key, fresh.value
        if layer.key.dtype != dtype:
            key, value = _packed(key), _packed(value)
        layer_now = LayerCache(write(layer.key, key), write(layer.value, value))

        def keys(of: LayerCache, positions: jax.Array, own: jax.Array | int | None) -> Keys:
            key, value = of.key, of.value
            if key.dtype != dtype:
                key, value = (jax.lax.bitcast_convert_type(x, dtype) for x in (key, value))
            return Keys(key, value, positions, positions != _NO_POSITION, own)

        if isinstance(time, int):
            return fresh, layer_now
        if kind == "local" and length > 1:
            past = keys(layer, stored, None)
            key, value, positions, valid = (
                jnp.concatenate([getattr(past, name), getattr(fresh, name)], axis=1)
                for name in ("key", "value", "positions", "valid")
            )
            return Keys(key, value, positions, valid, own=stored.shape[1]), layer_now
        positions = write(stored, _stored(fresh.positions, fresh.valid))
        return keys(layer_now, positions, time if kind == "global" else None), layer_now

    return memory


def advanced(
    cache: Cache,
    layers: tuple[LayerCache, ...],
    positions: Int[Array, "B T"],
    valid: Bool[Array, "B T"],
) -> Cache:
    """The cache after T tokens whose keys are in `layers` already."""
    length = positions.shape[1]
    new = _stored(positions, valid)
    return Cache(
        layers=layers,
        positions={
            kind: _writer(kind, cache.time, length, old.shape[1])(old, new)
            for kind, old in cache.positions.items()
        },
        time=cache.time + length,
        counts=cache.counts + valid.sum(axis=-1, dtype=jnp.int32),
    )


def _stored(positions: Int[Array, "B T"], valid: Bool[Array, "B T"]) -> Int[Array, "B T"]:
    return jnp.where(valid, positions, _NO_POSITION).astype(jnp.int32)


def _writer(
    kind: LayerKind, time: Int[Array, ""] | int, length: int, slots: int
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Puts the values of `length` tokens, [B T …], into the slots that are theirs, [B S …].

    A ring keeps the last of them that fit. A slice that crosses its end would be clamped, silently,
    so there the slots are named one by one.
    """
    if kind == "global" or length == 1:
        start = time % slots if kind == "local" else time
        return lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, axis=1)
    kept = min(length, slots)
    where = (time + length - kept + jnp.arange(kept)) % slots
    return lambda old, new: old.at[:, where].set(new[:, length - kept :], unique_indices=True)


def _packed(x: jax.Array) -> jax.Array:
    """Bfloat16 as uint16; anything wider as it is."""
    return jax.lax.bitcast_convert_type(x, jnp.uint16) if x.dtype.itemsize == 2 else x
