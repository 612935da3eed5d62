"""jaxformer as a source, and synthetic weights for both sides."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import xxhash

from jaxformer import model
from jaxformer.attention import PADDING_ID, positions_of
from jaxformer.config import Config, LayerKind
from jaxformer.fast.blockwise import pays
from jaxformer.layers import embed
from jaxformer.numerics import NUMERICS_CHOICES
from jaxformer.params import BlockParams, Params, named_leaves
from parity.errors import RequestError
from parity.program.stages import Stage
from parity.sides.function import FunctionSide
from parity.trace.manifest import Manifest
from parity.trace.recorder import NumericsMode


def jaxformer_side(
    params: Params,
    tokens: jax.Array,
    config: Config,
    manifest: Manifest,
    *,
    blocks: int,
    numerics: NumericsMode = "default",
    select: str = "*",
    label: str = "ours",
) -> FunctionSide:
    """The model's first `blocks` blocks, final norm and logits too where those are all.

    Args:
      params: shared with the other side, not copied.
      tokens: [B T] int32.
      manifest: of the run; `source` is filled in.
    """

    def run(params: Params, tokens: jax.Array, *, tap: Any) -> jax.Array:
        return model.forward(params, tokens, config, tap=tap, blocks=blocks)

    return FunctionSide(
        label,
        run,
        (params, tokens),
        dataclasses.replace(manifest, source="jaxformer", config=config_json(config)),
        select=select,
        numerics=numerics,
        unavailable=_unavailable(tokens, config, blocks),
        stages=_stages(params, tokens, config, blocks),
    )


def _unavailable(tokens: jax.Array, config: Config, blocks: int) -> dict[str, str]:
    length = tokens.shape[1]
    if config.numerics.formulation == "exact" or not pays(length, length):
        return {}
    reason = "the fast formulation makes no probabilities of all keys"
    return {f"blocks.{i}.attn.probs": reason for i in range(blocks)}


def _stages(params: Params, tokens: jax.Array, config: Config, blocks: int) -> list[Stage]:
    def embedding(table: jax.Array, tokens: jax.Array, *, tap: Any) -> jax.Array:
        return tap("embed", embed(table, tokens))

    def one_block(
        kind: LayerKind, params: BlockParams, tokens: jax.Array, x: jax.Array, *, tap: Any
    ) -> jax.Array:
        valid = tokens != PADDING_ID
        return model.block(params, x, positions_of(valid), valid, config, kind, tap)[0]

    def head(scale: jax.Array, table: jax.Array, x: jax.Array, *, tap: Any) -> jax.Array:
        return model.head(scale, table, x, config, tap)

    stages = [Stage("", "embed", embedding, (params.embedding, tokens), taps=("embed",))]
    for i, kind in enumerate(config.layer_kinds[:blocks]):
        run = functools.partial(one_block, kind)
        prefix = f"blocks.{i}."
        stages.append(Stage(prefix, kind, run, (params.blocks[i], tokens), f"{prefix}input"))
    if blocks == config.num_blocks:
        last = f"blocks.{blocks - 1}.output"
        own = (params.final_norm, params.embedding)
        stages.append(Stage("", "head", head, own, last, taps=("final_norm", "logits")))
    return stages


def with_fields(config: Config, fields: Mapping[str, str | float]) -> Config:
    """The config with a variant's numerics fields.

    Raises:
      RequestError: no such field, or a value that it doesn't take.
    """
    unknown = sorted(set(fields) - set(NUMERICS_CHOICES))
    if unknown:
        raise RequestError(
            f"no numerics field {unknown[0]!r}; there are {', '.join(NUMERICS_CHOICES)}"
        )
    try:
        return config.with_numerics(**fields)
    except ValueError as error:
        raise RequestError(f"variant: {error}") from error


def config_json(config: Config) -> dict[str, Any]:
    """The config as JSON-like data, layer kinds in short: `l` or `g` per block."""
    return {
        **dataclasses.asdict(config),
        "layer_kinds": "".join(kind[0] for kind in config.layer_kinds),
    }


def weights_hash(params: Params) -> str:
    """Digest of every parameter's name, shape, dtype and bits, independent of the machine."""
    import numpy as np

    digest = xxhash.xxh3_128()
    for name, leaf in named_leaves(params):
        digest.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.asarray(leaf).view(np.uint8).reshape(-1).data)
    return digest.hexdigest()
