"""Gemma 3 as a pure function of its parameters and tokens."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int

from jaxformer.attention import PADDING_ID, Memory, attention, no_memory, positions_of
from jaxformer.config import Config, LayerKind
from jaxformer.fast.rows import Rows
from jaxformer.layers import embed, gated_mlp, rms_norm, unembed
from jaxformer.params import BlockParams, Params
from jaxformer.taps import Tap, no_tap, prefixed


def block(
    params: BlockParams,
    x: Float[Array, "B T D"],
    positions: Int[Array, "B T"],
    valid: Bool[Array, "B T"],
    config: Config,
    kind: LayerKind,
    tap: Tap = no_tap,
    memory: Memory = no_memory,
) -> tuple[Float[Array, "B T D"], Any]:
    """One transformer block: attention and MLP, each normed before and after, each residual.

    Returns:
      The residual stream, and what `memory` wants remembered of this block's keys.
    """
    numerics = config.numerics
    x = tap("input", x)

    normed = tap("pre_attention_norm", rms_norm(x, params.pre_attention_norm, numerics))
    attended, remembered = attention(
        params.attn, normed, positions, valid, config, kind, prefixed(tap, "attn"), memory
    )
    attended = tap("post_attention_norm", rms_norm(attended, params.post_attention_norm, numerics))
    residual = tap("attn_residual", attended + x)

    normed = tap("pre_ffw_norm", rms_norm(residual, params.pre_ffw_norm, numerics))
    fed = gated_mlp(normed, params.mlp.gating, params.mlp.output, numerics, prefixed(tap, "mlp"))
    fed = tap("post_ffw_norm", rms_norm(fed, params.post_ffw_norm, numerics))
    return tap("output", fed + residual), remembered


def forward(
    params: Params,
    tokens: Int[Array, "B T"],
    config: Config,
    *,
    tap: Tap = no_tap,
    blocks: int | None = None,
) -> Float[Array, "B T V"] | Float[Array, "B T D"]:
    """Logits of every position, or the residual stream after the first `blocks` blocks.

    Args:
      params: may hold fewer blocks than the config where `blocks` says that no more are run.
      tokens: ids in [0, V); 0 is padding: no query sees it and it takes no position.
        No valid token's output depends on what is computed for padding. The fast formulation
        expects it at the ends of a row alone: it leaves out keys by row, so that padding long after
        a row's last token no longer sees what it sees in the exact one.
      config: static under jit.
      tap: static under jit; called at every point of the tap table.
      blocks: run only so many, without final norm and logits; None, or the depth, for all.

    Returns:
      [B T V] logits in the parameters' dtype, or [B T D] where `blocks` cuts the model short.

    Raises:
      ValueError: `blocks` lies outside 1..L, or the parameters hold fewer blocks than are run.
    """
    depth = depth_of(params, config, blocks)
    valid = tokens != PADDING_ID
    positions = positions_of(valid)
    x = tap("embed", embed(params.embedding, tokens))
    for i in range(depth):
        kind = config.layer_kinds[i]
        named = prefixed(tap, f"blocks.{i}")
        x, _ = block(params.blocks[i], x, positions, valid, config, kind, named)
    if depth < config.num_blocks:
        return x
    return head(params.final_norm, params.embedding, x, config, tap)


def depth_of(params: Params, config: Config, blocks: int | None) -> int:
    """How many blocks to run.

    Raises:
      ValueError: `blocks` lies outside 1..L, or the parameters hold fewer blocks than are run.
    """
    depth = config.num_blocks if blocks is None else blocks
    if not 1 <= depth <= config.num_blocks:
        raise ValueError(f"blocks must lie in 1..{config.num_blocks}, got {blocks}")
    if len(params.blocks) < depth:
        raise ValueError(f"{depth} blocks asked for, the parameters hold {len(params.blocks)}")
    return depth


def head(
    final_norm: Float[Array, " D"],
    embedding: Float[Array, "V D"] | Rows,
    x: Float[Array, "B T D"],
    config: Config,
    tap: Tap = no_tap,
) -> Float[Array, "B T V"]:
    """Logits of what the last block leaves."""
    x = tap("final_norm", rms_norm(x, final_norm, config.numerics))
    logits: jax.Array = tap("logits", unembed(embedding, x))
    return logits
