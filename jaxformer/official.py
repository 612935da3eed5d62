"""The official Flax package, `gemma`: importing it, and its view of our configs and parameters."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from jaxformer.config import Config
from jaxformer.errors import UsageError
from jaxformer.params import BlockParams, Params

INSTALL = "pip install -c constraints.txt gemma"


def import_gemma() -> Any:
    """The `gemma.gm` namespace, loaded.

    Raises:
      UsageError: gemma is not installed, or not with versions that work together.
    """
    try:
        with _quiet_stderr():
            from gemma import gm

            gm.nn.Transformer  # noqa: B018  the namespace loads its parts when they are first used
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the official package, gemma, is not installed ({error}); install it with: {INSTALL}"
        ) from error
    except (ImportError, AttributeError, TypeError) as error:
        brief = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
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


def converted_config(config: Config, blocks: int) -> Any:
    """Any of our configs as the official package's, cut to `blocks` blocks.

    Raises:
      UsageError: the package is not usable, or can't express the shape.
    """
    gm = import_gemma()
    from gemma.gm.nn import _config, _modules

    norms = {
        config.width // config.num_heads: "BY_ONE_OVER_SQRT_EMBED_DIM_DIV_NUM_HEADS",
        config.head_width: "BY_ONE_OVER_SQRT_HEAD_DIM",
    }
    if config.query_pre_attn_scalar not in norms:
        raise UsageError(
            f"the official package can scale queries by {sorted(norms)} only, "
            f"got query_pre_attn_scalar {config.query_pre_attn_scalar}"
        )
    if config.num_heads == config.num_kv_heads:
        raise UsageError("the official package fuses q, k and v where each head has its own keys")
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
