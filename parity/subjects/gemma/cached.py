"""jaxformer decoding with its cache, token by token, as a source.

The taps are those of the whole forward pass: what each step sees is put in its place along T, and
attention probabilities, which a step has over the cache's slots, in theirs along S. So a cached run
is compared like any other, and its stages can run on given values: each step then takes its part.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.attention import PADDING_ID
from jaxformer.cache import (
    Cache,
    LayerCache,
    advanced,
    cached_forward,
    empty_cache,
    layer_memory,
    next_positions,
)
from jaxformer.config import Config, LayerKind
from jaxformer.layers import embed
from jaxformer.model import block, head
from jaxformer.params import BlockParams, Params
from parity.program.stages import Stage
from parity.sides.function import FunctionSide
from parity.subjects.gemma.ours import config_json
from parity.trace.manifest import Manifest
from parity.trace.recorder import NumericsMode
from parity.trace.tap import InjectingTap

_PROBS = "attn.probs"
# One step: what is carried, its inputs and a tap, to what is carried on and its output.
_Step = Callable[[Any, Any, Any], tuple[Any, jax.Array]]


def cached_side(
    params: Params,
    tokens: jax.Array,
    config: Config,
    manifest: Manifest,
    *,
    blocks: int,
    numerics: NumericsMode = "default",
    select: str = "*",
    label: str = "cached",
) -> FunctionSide:
    """Token by token, the taps of `jaxformer_side` by name and shape.

    Args:
      tokens: [B T] int32, without padding: what padding sees is not the same with a ring.
      manifest: of the run; `source` is filled in.
    """

    def run(params: Params, tokens: jax.Array, *, tap: Any) -> jax.Array:
        cache = empty_cache(
            config, tokens.shape[0], tokens.shape[1], params.embedding.dtype, blocks=blocks
        )

        def step(cache: Cache, token: jax.Array, tap: Any) -> tuple[Cache, jax.Array]:
            out, cache = cached_forward(params, token, cache, config, tap=tap, blocks=blocks)
            return cache, out

        return _token_by_token(step, cache, tokens, tap, config)

    return FunctionSide(
        label,
        run,
        (params, tokens),
        dataclasses.replace(manifest, source="jaxformer, cached", config=config_json(config)),
        select=select,
        numerics=numerics,
        stages=_stages(params, tokens, config, blocks),
    )


def _stages(params: Params, tokens: jax.Array, config: Config, blocks: int) -> list[Stage]:
    def embedding(table: jax.Array, tokens: jax.Array, *, tap: Any) -> jax.Array:
        def step(carried: None, token: jax.Array, tap: Any) -> tuple[None, jax.Array]:
            return carried, tap("embed", embed(table, token))

        return _token_by_token(step, None, tokens, tap, config)

    def one_block(
        kind: LayerKind, params: BlockParams, tokens: jax.Array, x: jax.Array, *, tap: Any
    ) -> jax.Array:
        one = dataclasses.replace(config, layer_kinds=(kind,))
        cache = empty_cache(one, tokens.shape[0], tokens.shape[1], x.dtype)

        def step(cache: Cache, given: Any, tap: Any) -> tuple[Cache, jax.Array]:
            token, x = given
            valid = token != PADDING_ID
            positions = next_positions(cache, valid)
            memory = layer_memory(cache.layers[0], cache.positions[kind], cache.time, kind)
            x, layer = block(params, x, positions, valid, one, kind, tap, memory)
            layers: tuple[LayerCache, ...] = (layer,)
            return advanced(cache, layers, positions, valid), x

        return _token_by_token(step, cache, (tokens, x), tap, one)

    def last(scale: jax.Array, table: jax.Array, x: jax.Array, *, tap: Any) -> jax.Array:
        def step(carried: None, x: jax.Array, tap: Any) -> tuple[None, jax.Array]:
            return carried, head(scale, table, x, config, tap)

        return _token_by_token(step, None, x, tap, config)

    stages = [Stage("", "embed", embedding, (params.embedding, tokens), taps=("embed",))]
    for i, kind in enumerate(config.layer_kinds[:blocks]):
        run = functools.partial(one_block, kind)
        prefix = f"blocks.{i}."
        stages.append(Stage(prefix, kind, run, (params.blocks[i], tokens), f"{prefix}input"))
    if blocks == config.num_blocks:
        source = f"blocks.{blocks - 1}.output"
        own = (params.final_norm, params.embedding)
        stages.append(Stage("", "head", last, own, source, taps=("final_norm", "logits")))
    return stages


def _token_by_token(step: _Step, carried: Any, inputs: Any, tap: Any, config: Config) -> jax.Array:
    """Scan `step` over the T axis of `inputs`, [B T …], and of the values that `tap` injects.

    Returns:
      The outputs of all steps, [B T …].
    """
    length = jax.tree.leaves(inputs)[0].shape[1]
    given = tap.values if isinstance(tap, InjectingTap) else {}
    names: list[str] = []

    def body(carried: Any, at: Any) -> Any:
        time, inputs, given = at
        seen = _StepTap(time, length, given, config)
        carried, out = step(carried, inputs, seen)
        names[:] = seen.values
        return carried, (out[:, 0], [value[:, 0] for value in seen.values.values()])

    steps = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0)[:, :, None], (inputs, dict(given)))
    _, outputs = jax.lax.scan(body, carried, (jnp.arange(length), *steps))
    out, values = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), outputs)
    for name, value in zip(names, values, strict=True):
        tap(name, value)
    return out


class _StepTap:
    """The tap of one step: keeps what is seen, passes on what is given.

    Args:
      time: of the step, which is its token's place along T.
      given: values to pass on instead, [B 1 …], probabilities over all T keys.
    """

    def __init__(
        self, time: jax.Array, length: int, given: Mapping[str, jax.Array], config: Config
    ) -> None:
        self.values: dict[str, jax.Array] = {}
        self._time = time
        self._length = length
        self._given = given
        self._config = config

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        if not name.endswith(_PROBS):
            self.values[name] = value
            return self._given.get(name, value)
        token = self._token_in_slot(name, value.shape[-1])
        # A slot that holds nothing yet has an index past the end, and is dropped.
        index = jnp.where(token < 0, self._length, token)
        everywhere = jnp.zeros((*value.shape[:-1], self._length), value.dtype)
        self.values[name] = everywhere.at[..., index].set(value, mode="drop")
        if name not in self._given:
            return value
        return jnp.where(token < 0, 0, jnp.take(self._given[name], jnp.maximum(token, 0), axis=-1))

    def _token_in_slot(self, name: str, slots: int) -> jax.Array:
        """[S] place along T of the token in each slot; negative where there is none yet."""
        kinds = self._config.layer_kinds
        block = name.removesuffix(_PROBS).removeprefix("blocks.").rstrip(".")
        kind = kinds[int(block)] if block else kinds[0]
        slot = jnp.arange(slots)
        if kind == "global":
            return jnp.where(slot <= self._time, slot, -1)
        return self._time - (self._time - slot) % slots
