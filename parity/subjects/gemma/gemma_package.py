"""The official `gemma` package: importing it, its configs, and its view of our parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.config import Config
from jaxformer.params import BlockParams, Params
from parity.errors import RequestError

INSTALL = "pip install -c constraints.txt gemma"

# preset -> the package's class of that model, whose own config is used: a wrong number in ours
# must not be copied to the side that it is held against
_CLASSES = {
    "gemma3-270m": "Gemma3_270M",
    "gemma3-1b": "Gemma3_1B",
    "gemma3-4b": "Gemma3_4B",
    "gemma3-12b": "Gemma3_12B",
    "gemma3-27b": "Gemma3_27B",
}


def import_gemma() -> Any:
    """The `gemma.gm` namespace, loaded.

    Raises:
      RequestError: gemma is not installed, or not with versions that work together.
    """
    try:
        with _quiet_stderr():
            from gemma import gm

            gm.nn.Transformer  # noqa: B018  the namespace loads its parts when they are first used
    except ModuleNotFoundError as error:
        raise RequestError(
            f"--reference flax needs the official package ({error}); install it with: {INSTALL}"
        ) from error
    except (ImportError, AttributeError, TypeError) as error:
        brief = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"the official package can't be imported ({brief}); "
            f"install the versions that work together: {INSTALL}"
        ) from error
    return gm


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what is written to stderr's file descriptor: TensorFlow, which gemma brings, logs there
    from C++ before any setting reaches it."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def preset_config(model: str, blocks: int) -> Any:
    """The official package's own config of a preset, its first `blocks` blocks, text only.

    Raises:
      RequestError: the package is not usable.
    """
    gm = import_gemma()
    config = getattr(gm.nn, _CLASSES[model]).config
    kinds = tuple(config.attention_types[:blocks])
    return dataclasses.replace(config, attention_types=kinds, vision_encoder=None)


def converted_config(config: Config, blocks: int) -> Any:
    """Any of our configs as the official package's, cut to `blocks` blocks.

    Raises:
      RequestError: the package is not usable, or can't express the shape.
    """
    gm = import_gemma()
    from gemma.gm.nn import _config, _modules

    norms = {
        config.width // config.num_heads: "BY_ONE_OVER_SQRT_EMBED_DIM_DIV_NUM_HEADS",
        config.head_width: "BY_ONE_OVER_SQRT_HEAD_DIM",
    }
    if config.query_pre_attn_scalar not in norms:
        raise RequestError(
            f"the official package can scale queries by {sorted(norms)} only, "
            f"got query_pre_attn_scalar {config.query_pre_attn_scalar}"
        )
    if config.num_heads == config.num_kv_heads:
        raise RequestError("the official package fuses q, k and v where each head has its own keys")
    kinds = {
        "local": _modules.AttentionType.LOCAL_SLIDING,
        "global": _modules.AttentionType.GLOBAL,
    }
    norm = norms[config.query_pre_attn_scalar]
    return gm.nn.config.TransformerConfig(
        final_logit_softcap=None,
        num_embed=config.vocab_size,
        embed_dim=config.width,
        hidden_dim=config.mlp_width,
        num_heads=config.num_heads,
        head_dim=config.head_width,
        num_kv_heads=config.num_kv_heads,
        use_post_attn_norm=True,
        use_post_ffw_norm=True,
        use_qk_norm=True,
        attention_types=tuple(kinds[kind] for kind in config.layer_kinds[:blocks]),
        query_pre_attn_norm=_config.QueryPreAttentionNormalisation[norm],
        sliding_window_size=config.window,
        transpose_gating_einsum=True,
        local_base_frequency=config.local_rope.base,
        global_base_frequency=config.global_rope.base,
        local_scale_factor=config.local_rope.factor,
        global_scale_factor=config.global_rope.factor,
    )


def official_params(params: Params) -> dict[str, Any]:
    """The official package's variables over the very same arrays."""
    return {
        "params": {
            "embedder": {"input_embedding": params.embedding},
            "final_norm": {"scale": params.final_norm},
            **{f"layer_{i}": block_params(block) for i, block in enumerate(params.blocks)},
        }
    }


def given_weights(params: Params) -> dict[str, Any]:
    """Our parameters under the package's names, such as `layer_0/attn/q_einsum/w`."""
    return _named(official_params(params)["params"])


def expected_weights(config: Any, dtype: str) -> dict[str, Any]:
    """Names, shapes and dtypes that the package itself would initialise; nothing is allocated.

    Args:
      config: the package's.

    Raises:
      RequestError: the package is not usable.
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


def block_params(block: BlockParams) -> dict[str, Any]:
    """The official package's variables of one block."""
    return {
        "pre_attention_norm": {"scale": block.pre_attention_norm},
        "attn": {
            "q_einsum": {"w": block.attn.query},
            "kv_einsum": {"w": block.attn.key_value},
            "_query_norm": {"scale": block.attn.query_norm},
            "_key_norm": {"scale": block.attn.key_norm},
            "attn_vec_einsum": {"w": block.attn.output},
        },
        "post_attention_norm": {"scale": block.post_attention_norm},
        "pre_ffw_norm": {"scale": block.pre_ffw_norm},
        "mlp": {"gating_einsum": block.mlp.gating, "linear": block.mlp.output},
        "post_ffw_norm": {"scale": block.post_ffw_norm},
    }
