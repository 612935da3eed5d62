"""The official `gemma` package: its own configs, and the weights that it expects and is given."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.config import PRESETS
from jaxformer.official import block_params, converted_config, import_gemma, official_params
from jaxformer.params import Params

__all__ = [
    "block_params", "converted_config", "expected_weights", "given_weights", "import_gemma",
    "official_params", "preset_config",
]  # fmt: skip

# preset -> the package's class of that model, whose own config is used: a wrong number in ours
# must not be copied to the side that it is held against
_CLASSES = {
    "gemma3-270m": "Gemma3_270M",
    "gemma3-1b": "Gemma3_1B",
    "gemma3-4b": "Gemma3_4B",
    "gemma3-12b": "Gemma3_12B",
    "gemma3-27b": "Gemma3_27B",
}


def preset_config(model: str, blocks: int) -> Any:
    """The official package's own config of a preset, its first `blocks` blocks, text only.

    A preset that the package hasn't got is converted from ours.

    Raises:
      UsageError: the package is not usable.
    """
    gm = import_gemma()
    if model not in _CLASSES:
        return converted_config(PRESETS[model], blocks)
    config = getattr(gm.nn, _CLASSES[model]).config
    kinds = tuple(config.attention_types[:blocks])
    return dataclasses.replace(config, attention_types=kinds, vision_encoder=None)


def given_weights(params: Params) -> dict[str, Any]:
    """Our parameters under the package's names, such as `layer_0/attn/q_einsum/w`."""
    return _named(official_params(params)["params"])


def expected_weights(config: Any, dtype: str) -> dict[str, Any]:
    """Names, shapes and dtypes that the package itself would initialise; nothing is allocated.

    Args:
      config: the package's.

    Raises:
      UsageError: the package is not usable.
    """
    gm = import_gemma()
    module = gm.nn.Transformer(config=config, dtype=jnp.dtype(dtype))
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    return _named(jax.eval_shape(module.init, jax.random.key(0), tokens)["params"])


def _named(tree: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
