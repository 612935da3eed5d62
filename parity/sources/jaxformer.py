"""jaxformer as a source, and synthetic weights for both sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import xxhash

from jaxformer.config import NUMERICS_CHOICES, Config
from jaxformer.model import forward
from jaxformer.params import Params, named_leaves
from parity.errors import RequestError
from parity.record import NumericsMode
from parity.sources.base import FunctionSource
from parity.trace import Manifest


def jaxformer_source(
    params: Params,
    tokens: jax.Array,
    config: Config,
    manifest: Manifest,
    *,
    blocks: int,
    numerics: NumericsMode = "default",
    select: str = "*",
    label: str = "ours",
) -> FunctionSource:
    """The model's first `blocks` blocks, final norm and logits too where those are all.

    Args:
      params: shared with the other side, not copied.
      tokens: [B T] int32.
      manifest: of the run; `source` is filled in.
    """

    def run(params: Params, tokens: jax.Array, *, tap: Any) -> jax.Array:
        return forward(params, tokens, config, tap=tap, blocks=blocks)

    return FunctionSource(
        label,
        run,
        (params, tokens),
        dataclasses.replace(manifest, source="jaxformer", config=config_json(config)),
        select=select,
        numerics=numerics,
    )


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
