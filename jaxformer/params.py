"""The parameter tree: frozen dataclasses, registered as pytrees, and their shapes.

Arrays keep the official package's layouts, so one tree serves both implementations uncopied; a
weight of the fast path is laid out in `Rows` instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxformer.config import Config
from jaxformer.fast.rows import Rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AttentionParams:
    query: Float[Array, "N D H"] | Rows
    key_value: Float[Array, "2 K D H"] | Rows
    query_norm: Float[Array, " H"]
    key_norm: Float[Array, " H"]
    output: Float[Array, "N H D"] | Rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MlpParams:
    gating: Float[Array, "2 F D"] | Rows
    output: Float[Array, "F D"] | Rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BlockParams:
    pre_attention_norm: Float[Array, " D"]
    attn: AttentionParams
    post_attention_norm: Float[Array, " D"]
    pre_ffw_norm: Float[Array, " D"]
    mlp: MlpParams
    post_ffw_norm: Float[Array, " D"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Params:
    embedding: Float[Array, "V D"] | Rows
    blocks: tuple[BlockParams, ...]
    final_norm: Float[Array, " D"]


def abstract_params(config: Config, dtype: DTypeLike, *, blocks: int | None = None) -> Params:
    """The tree as `jax.ShapeDtypeStruct` leaves: shapes in one place, nothing allocated.

    Args:
      blocks: leave out all but the first so many blocks; None for the whole depth.
    """

    def array(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    width, heads, head_width = config.width, config.num_heads, config.head_width
    block = BlockParams(
        pre_attention_norm=array(width),
        attn=AttentionParams(
            query=array(heads, width, head_width),
            key_value=array(2, config.num_kv_heads, width, head_width),
            query_norm=array(head_width),
            key_norm=array(head_width),
            output=array(heads, head_width, width),
        ),
        post_attention_norm=array(width),
        pre_ffw_norm=array(width),
        mlp=MlpParams(
            gating=array(2, config.mlp_width, width),
            output=array(config.mlp_width, width),
        ),
        post_ffw_norm=array(width),
    )
    depth = config.num_blocks if blocks is None else blocks
    return Params(
        embedding=array(config.vocab_size, width),
        blocks=(block,) * depth,
        final_norm=array(width),
    )


def named_leaves(params: Params) -> Iterator[tuple[str, jax.Array]]:
    """Each array with its dotted name, such as `blocks.3.attn.query`, in tree order."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        yield jax.tree_util.keystr(path, simple=True, separator="."), leaf
