"""The parameters as the fast path has them: every matrix laid out in rows."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jaxformer.fast.forms import Chooser, default_choice
from jaxformer.fast.rows import Rows, cut
from jaxformer.params import AttentionParams, BlockParams, MlpParams, Params


def laid_out(params: Params, choose: Chooser = default_choice, *, consume: bool = False) -> Params:
    """The same values in rows; matrices that are rows already are not copied.

    Args:
      choose: how to multiply with each shape; `forms.measured_choice()` knows this machine.
      consume: delete each given matrix once it is laid out, so that never two models are held.
    """

    def rows(array: jax.Array | Rows, order: tuple[int, ...], outputs: int) -> Rows:
        """Axes in `order`, the first so many of them outputs."""
        if isinstance(array, Rows):
            return array
        turned = array if order == tuple(range(array.ndim)) else jnp.transpose(array, order)
        out_shape, in_shape = turned.shape[:outputs], turned.shape[outputs:]
        matrix = turned.reshape(math.prod(out_shape), math.prod(in_shape))
        choice = choose(matrix.shape[0], matrix.shape[1], matrix.dtype)
        pieces = cut(matrix)
        if consume and all(piece is not array for piece in pieces):
            jax.block_until_ready(pieces)
            array.delete()
        return Rows(pieces, out_shape, len(in_shape), choice.forms, choice.widened_from)

    def block(given: BlockParams) -> BlockParams:
        attn, mlp = given.attn, given.mlp
        return BlockParams(
            pre_attention_norm=given.pre_attention_norm,
            attn=AttentionParams(
                query=rows(attn.query, (0, 2, 1), 2),  # N D H -> N H, D
                key_value=rows(attn.key_value, (0, 1, 3, 2), 3),  # 2 K D H -> 2 K H, D
                query_norm=attn.query_norm,
                key_norm=attn.key_norm,
                output=rows(attn.output, (2, 0, 1), 1),  # N H D -> D, N H
            ),
            post_attention_norm=given.post_attention_norm,
            pre_ffw_norm=given.pre_ffw_norm,
            mlp=MlpParams(
                gating=rows(mlp.gating, (0, 1, 2), 2),  # 2 F, D
                output=rows(mlp.output, (1, 0), 1),  # F D -> D, F
            ),
            post_ffw_norm=given.post_ffw_norm,
        )

    return Params(
        embedding=rows(params.embedding, (0, 1), 1),
        blocks=tuple(block(given) for given in params.blocks),
        final_norm=params.final_norm,
    )
