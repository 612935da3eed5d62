"""From what was asked for to a full setting, its weights and tokens, and sources on them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import PRESETS, Config
from jaxformer.params import Params
from parity.cli import DEFAULT_LENGTH, DEFAULT_MODEL, DTYPES, Choice
from parity.errors import RequestError
from parity.record import NumericsMode
from parity.sources.base import FunctionSource, environment
from parity.sources.jaxformer import config_json, jaxformer_source, weights_hash, with_fields
from parity.trace import Manifest, json_hash
from parity.variants import OURS, Variant


@dataclass(frozen=True)
class Setting:
    """A choice with every default filled in; nothing big exists yet."""

    model: str
    config: Config
    blocks: int
    weights_seed: int
    tokens: list[list[int]]
    dtype: str
    numerics: NumericsMode
    taps: str

    @property
    def whole(self) -> bool:
        """Every block is run, and so are final norm and logits."""
        return self.blocks == self.config.num_blocks

    @property
    def manifest(self) -> Manifest:
        """Of a run with this setting; weights hash and environment are still to come."""
        config = config_json(self.config)
        return Manifest(
            source="",
            model=self.model,
            config=config,
            config_hash=json_hash(config),
            blocks=self.blocks,
            weights=f"synthetic:{self.weights_seed}",
            tokens=self.tokens,
            dtype=self.dtype,
            numerics=self.numerics,
        )

    @property
    def takes_block_inputs(self) -> bool:
        """Every tap is selected, block inputs among them."""
        return self.taps == "*"


@dataclass(frozen=True)
class Inputs:
    """What both sides run on: one parameter tree, one array of tokens."""

    setting: Setting
    manifest: Manifest
    params: Params
    tokens: jax.Array

    def config_of(self, variant: Variant) -> Config:
        """Our config with a variant's numerics.

        Raises:
          RequestError: the variant names no numerics field, or a value it doesn't take.
        """
        return with_fields(self.setting.config, variant.fields)

    def ours(self, variant: Variant = OURS) -> FunctionSource:
        """jaxformer with a variant's numerics.

        Raises:
          RequestError: the variant names no numerics field, or a value it doesn't take.
        """
        return jaxformer_source(
            self.params,
            self.tokens,
            self.config_of(variant),
            self.manifest,
            blocks=self.setting.blocks,
            numerics=self.setting.numerics,
            select=self.setting.taps,
            label=variant.name,
        )

    def official(self) -> FunctionSource:
        """The Flax gemma package with its own config of the preset.

        Raises:
          RequestError: the package is not usable.
        """
        from parity.sources.flax_gemma import flax_gemma_source
        from parity.sources.gemma_package import preset_config

        return flax_gemma_source(
            self.params,
            self.tokens,
            preset_config(self.setting.model, self.setting.blocks),
            self.manifest,
            numerics=self.setting.numerics,
            select=self.setting.taps,
            whole=self.setting.whole,
        )


def resolve(choice: Choice, stored: Manifest | None = None) -> Setting:
    """Fill in what was not said: from a stored trace's manifest if there is one, then by default.

    Raises:
      RequestError: token ids outside the vocabulary, or a manifest that names no known model.
    """
    given = stored or Manifest(source="")
    model = choice.model or given.model or DEFAULT_MODEL
    dtype = choice.dtype or given.dtype or DTYPES[0]
    if model not in PRESETS or dtype not in DTYPES:
        raise RequestError(
            f"the trace is of model {model!r} in {dtype}, which can't be run here; "
            f"there are {', '.join(PRESETS)} in {' and '.join(DTYPES)}"
        )
    config = PRESETS[model]
    blocks = choice.blocks or given.blocks or config.num_blocks
    if not 1 <= blocks <= config.num_blocks:
        raise RequestError(f"the trace has {blocks} blocks, {model} has {config.num_blocks}")
    return Setting(
        model=model,
        config=config,
        blocks=blocks,
        weights_seed=_weights_seed(choice, given.weights),
        tokens=_tokens(choice, given.tokens, config),
        dtype=dtype,
        numerics="strict" if (choice.numerics or given.numerics) == "strict" else "default",
        taps=choice.taps,
    )


def arguments_of(setting: Setting) -> list[str]:
    """The command line that asks for this setting."""
    rows = ";".join(",".join(map(str, row)) for row in setting.tokens)
    named = {
        "model": setting.model,
        "blocks": str(setting.blocks),
        "weights": f"synthetic:{setting.weights_seed}",
        "tokens": rows,
        "dtype": setting.dtype,
        "numerics": setting.numerics,
        "taps": "all" if setting.taps == "*" else setting.taps,
    }
    return [part for name, value in named.items() for part in (f"--{name}", value)]


def make_inputs(setting: Setting, progress: Callable[[str], None]) -> Inputs:
    """Make the weights, fingerprint them, and say in the manifest where this runs."""
    progress(f"weights: synthetic, seed {setting.weights_seed}, {setting.dtype}")
    params = synthetic_params(
        setting.config, setting.weights_seed, setting.dtype, blocks=setting.blocks
    )
    manifest = dataclasses.replace(
        setting.manifest, weights_hash=weights_hash(params), **environment()
    )
    return Inputs(setting, manifest, params, jnp.asarray(setting.tokens, jnp.int32))


def _weights_seed(choice: Choice, stored: str | None) -> int:
    if choice.weights_seed is not None:
        return choice.weights_seed
    if stored is None:
        return choice.seed
    found = re.fullmatch(r"synthetic:(\d+)", stored)
    if not found:
        raise RequestError(f"the trace was made with weights {stored!r}; name them by --weights")
    return int(found[1])


def _tokens(choice: Choice, stored: list[list[int]] | None, config: Config) -> list[list[int]]:
    random = choice.length is not None or choice.batch is not None
    tokens = choice.tokens or (None if random else stored)
    if tokens is None:
        length = choice.length or DEFAULT_LENGTH
        made = synthetic_tokens(config, choice.batch or 1, length, choice.seed)
        tokens = made.tolist()
    try:
        ids = np.asarray(tokens, np.int64)
        well_formed = ids.ndim == 2 and ids.size > 0
    except (TypeError, ValueError, OverflowError):
        well_formed = False
    if not well_formed:
        raise RequestError("tokens must be rows of whole numbers, all of one length")
    outside = ids[(ids < 0) | (ids >= config.vocab_size)]
    if outside.size:
        raise RequestError(
            f"tokens must lie in 0..{config.vocab_size - 1}, the vocabulary; got {outside[0]}"
        )
    return tokens
