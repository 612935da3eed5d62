"""Prefill: all chunks of a prompt through one block after the other, or chunk after chunk through
all blocks.

The first is for a CPU. There is one small program per layer kind to compile, not one of the whole
depth; and as a CPU multiplies in float32, the weights of a block are widened once for all chunks,
into room that every block uses again. The second is for an accelerator, which would wait for the
start of every block's program longer than for the block.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxformer.attention import PADDING_ID
from jaxformer.cache import (
    Cache,
    LayerCache,
    advanced,
    empty_cache,
    layer_memory,
    next_positions,
)
from jaxformer.config import Config, LayerKind
from jaxformer.fast.programs import program
from jaxformer.fast.rows import Rows
from jaxformer.fast.widening import Widener
from jaxformer.layers import embed
from jaxformer.model import block, head
from jaxformer.params import BlockParams, Params

_BY_BLOCK = ("cpu",)


def prefill(
    params: Params, tokens: Int[np.ndarray, "B T"], config: Config, capacity: int, chunk: int
) -> tuple[Float[Array, "B 1 V"], Cache]:
    """Run the prompts, chunk by chunk, into an empty cache.

    Args:
      tokens: padded on the left with id 0.
      capacity: of the cache, in tokens: at least T, and as many more as will be decoded.
      chunk: tokens of a row that run together.

    Returns:
      Logits after the last token of each row, in the parameters' dtype, and the cache, packed.
    """
    empty = program(_empty, config, static=("config", "batch", "capacity", "dtype"))(
        config=config, batch=tokens.shape[0], capacity=capacity, dtype=params.embedding.dtype
    )
    run = _by_block if jax.default_backend() in _BY_BLOCK else _by_chunk
    x, cache = run(params, tokens, config, empty, chunk)
    run_head = program(_head, config, static=("config",))
    return run_head(params.final_norm, params.embedding, x, config=config), cache


def _by_block(
    params: Params, tokens: Int[np.ndarray, "B T"], config: Config, empty: Cache, chunk: int
) -> tuple[Float[Array, "B T D"], Cache]:
    """The last chunk's residual stream after all blocks, and the cache."""
    batch, length = tokens.shape
    start_chunk = program(_start, config)
    widener = Widener(config)
    run_block = program(_block, config, static=("config", "kind", "first"), donate=("layer",))

    moment = dataclasses.replace(empty, layers=())
    streams, moments = [], []
    for start in range(0, length, chunk):
        given = jnp.asarray(tokens[:, start : start + chunk])
        x, positions, valid, following = start_chunk(params.embedding, given, moment)
        streams.append(x)
        moments.append((positions, valid, moment))
        moment = following

    layers = []
    for kind, weights, layer in zip(config.layer_kinds, params.blocks, empty.layers, strict=True):
        weights = widener.block(weights, batch * min(chunk, length))
        for i, (positions, valid, before) in enumerate(moments):
            streams[i], layer = run_block(
                weights, streams[i], positions, valid, layer, before.positions[kind], before.time,
                config=config, kind=kind, first=i == 0,
            )  # fmt: skip
        layers.append(layer)
    return streams[-1], dataclasses.replace(moment, layers=tuple(layers))


def _by_chunk(
    params: Params, tokens: Int[np.ndarray, "B T"], config: Config, empty: Cache, chunk: int
) -> tuple[Float[Array, "B T D"], Cache]:
    """The same, a program a chunk."""
    through = program(_through, config, static=("config", "first"), donate=("cache",))
    x, cache = jnp.empty(0), empty
    for start in range(0, tokens.shape[1], chunk):
        given = jnp.asarray(tokens[:, start : start + chunk])
        x, cache = through(params, given, cache, config=config, first=start == 0)
    return x, cache


def _empty(*, config: Config, batch: int, capacity: int, dtype: jnp.dtype) -> Cache:
    return empty_cache(config, batch, capacity, dtype, packed=True)


def _through(
    params: Params, tokens: Int[Array, "B T"], cache: Cache, *, config: Config, first: bool
) -> tuple[Float[Array, "B T D"], Cache]:
    """One chunk through all blocks."""
    x, positions, valid, following = _start(params.embedding, tokens, cache)
    layers = []
    for kind, weights, layer in zip(config.layer_kinds, params.blocks, cache.layers, strict=True):
        x, written = _block(
            weights, x, positions, valid, layer, cache.positions[kind], cache.time,
            config=config, kind=kind, first=first,
        )  # fmt: skip
        layers.append(written)
    return x, dataclasses.replace(following, layers=tuple(layers))


def _start(
    embedding: jax.Array | Rows, tokens: Int[Array, "B T"], moment: Cache
) -> tuple[Float[Array, "B T D"], Int[Array, "B T"], Bool[Array, "B T"], Cache]:
    """A chunk's residual stream, positions and valid tokens; and the moment after it."""
    valid = tokens != PADDING_ID
    positions = next_positions(moment, valid)
    return embed(embedding, tokens), positions, valid, advanced(moment, (), positions, valid)


def _block(
    weights: BlockParams,
    x: Float[Array, "B T D"],
    positions: Int[Array, "B T"],
    valid: Bool[Array, "B T"],
    layer: LayerCache,
    stored: Int[Array, "B S"],
    time: Int[Array, ""],
    *,
    config: Config,
    kind: LayerKind,
    first: bool,
) -> tuple[Float[Array, "B T D"], Any]:
    memory = layer_memory(layer, stored, 0 if first else time, kind)
    return block(weights, x, positions, valid, config, kind, memory=memory)


def _head(
    final_norm: Float[Array, " D"],
    embedding: Float[Array, "V D"] | Rows,
    x: Float[Array, "B T D"],
    *,
    config: Config,
) -> Float[Array, "B 1 V"]:
    return head(final_norm, embedding, x[:, -1:], config)
