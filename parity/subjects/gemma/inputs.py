"""The weights and tokens of a setting, and sources on them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.attention import PADDING_ID
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import Config
from jaxformer.fast.forms import measured_choice
from jaxformer.fast.layout import laid_out
from jaxformer.params import Params
from parity.errors import RequestError
from parity.sides.function import FunctionSide, environment
from parity.subjects.gemma.cached import cached_side
from parity.subjects.gemma.ours import jaxformer_side, weights_hash, with_fields
from parity.subjects.gemma.setting import CUSTOM, Setting
from parity.subjects.variants import OURS, Variant
from parity.trace.manifest import Manifest


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

    def ours(self, variant: Variant = OURS) -> FunctionSide:
        """jaxformer with a variant's numerics.

        Raises:
          RequestError: the variant names no numerics field, or a value it doesn't take.
        """
        config = self.config_of(variant)
        return jaxformer_side(
            self._rows if config.numerics.formulation == "fast" else self.params,
            self.tokens,
            config,
            self.manifest,
            blocks=self.setting.blocks,
            numerics=self.setting.numerics,
            select=self.setting.taps,
            label=variant.name,
        )

    @functools.cached_property
    def _rows(self) -> Params:
        """The parameters as the fast formulation has them here; a copy of most, made once."""
        return laid_out(self.params, measured_choice())

    def cached(self, variant: Variant = OURS) -> FunctionSide:
        """jaxformer decoding token by token with its cache.

        Raises:
          RequestError: the variant names no numerics field, or a value it doesn't take; or there
            is padding, whose own values mean nothing and are not the same with a cache.
        """
        if any(PADDING_ID in row for row in self.setting.tokens):
            raise RequestError("--cached takes rows of one length, without padding (id 0)")
        return cached_side(
            self.params,
            self.tokens,
            self.config_of(variant),
            self.manifest,
            blocks=self.setting.blocks,
            numerics=self.setting.numerics,
            select=self.setting.taps,
            label=variant.name,
        )

    def official(self) -> FunctionSide:
        """The Flax gemma package with its own config of the preset.

        Raises:
          UsageError: the package is not usable.
        """
        from parity.subjects.gemma.flax_gemma import flax_gemma_side

        return flax_gemma_side(
            self.params,
            self.tokens,
            official_config(self.setting),
            self.manifest,
            numerics=self.setting.numerics,
            select=self.setting.taps,
            whole=self.setting.whole,
        )


def official_config(setting: Setting) -> Any:
    """The official package's own config of a preset; converted from ours where it has none.

    Raises:
      UsageError: the package is not usable.
    """
    from parity.subjects.gemma.gemma_package import converted_config, preset_config

    if setting.model == CUSTOM:
        return converted_config(setting.config, setting.blocks)
    return preset_config(setting.model, setting.blocks)


def make_inputs(setting: Setting, progress: Callable[[str], None]) -> Inputs:
    """Make or load the weights, fingerprint them, and say in the manifest where this runs.

    Raises:
      UsageError: the checkpoint's weights are damaged.
    """
    if setting.checkpoint:
        progress(f"weights: {setting.checkpoint.folder}: {setting.checkpoint.describe()}")
        params = setting.checkpoint.load(setting.dtype, blocks=setting.blocks, progress=progress)
    else:
        progress(f"weights: synthetic, seed {setting.weights_seed}, {setting.dtype}")
        params = synthetic_params(
            setting.config, setting.weights_seed, setting.dtype, blocks=setting.blocks
        )
    manifest = dataclasses.replace(
        setting.manifest, weights_hash=weights_hash(params), **environment()
    )
    return Inputs(setting, manifest, params, jnp.asarray(setting.tokens, jnp.int32))
