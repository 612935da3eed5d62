"""Prefill: block after block, each over the whole prompt, chunk by chunk.

So there is one small program per layer kind to compile, not one of the whole depth; and on a CPU,
which multiplies in float32, the weights of a block are widened once for all chunks, into room that
every block uses again.
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
from jaxformer.layers import embed
from jaxformer.model import block, head
from jaxformer.params import BlockParams, Params
from jaxformer.programs import program
from jaxformer.rows import Rows
from jaxformer.widening import Widener


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
    batch, length = tokens.shape
    empty = empty_cache(config, batch, capacity, params.embedding.dtype, packed=True)
    start_chunk = program(_start, config)
    widener = Widener(config)
    run_block = program(_block, config, static=("config", "kind", "first"), donate=("layer",))
    run_head = program(_head, config, static=("config",))

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
    logits = run_head(params.final_norm, params.embedding, streams[-1], config=config)
    return logits, dataclasses.replace(moment, layers=tuple(layers))


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
