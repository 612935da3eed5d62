"""Bfloat16 matrices widened to float32 once, for several products on a CPU.

A CPU multiplies in float32: it would widen the same weights for every product again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.config import Config
from jaxformer.fast.forms import MANY
from jaxformer.fast.programs import program
from jaxformer.fast.rows import Rows
from jaxformer.params import BlockParams, MlpParams


class Widener:
    """Widens the blocks of a model one after the other, all into the same memory.

    What it returns holds until the next call: new memory would cost more than the widening.
    """

    def __init__(self, config: Config) -> None:
        self._widen = program(_widen, config, donate=("room",), keep_unused=True)
        self._room: list[Any] | None = None

    def block(self, weights: BlockParams, vectors: int) -> BlockParams:
        """The block, with those matrices in float32 that are worth it for so many vectors."""
        matrices = _matrices(weights)
        chosen = [i for i, matrix in enumerate(matrices) if worth_widening(matrix, vectors)]
        if not chosen:
            return weights
        for i, wide in zip(chosen, self([matrices[i] for i in chosen]), strict=True):
            matrices[i] = dataclasses.replace(wide, forms=((MANY, "dot"),))
        return _with_matrices(weights, matrices)

    def __call__(self, arrays: Any) -> Any:
        """A tree of arrays in float32; every call takes a tree of the same shapes."""
        if self._room is None:
            self._room = jax.tree.map(lambda w: jnp.zeros(w.shape, jnp.float32), arrays)
        self._room = self._widen(self._room, arrays)
        return self._room


def worth_widening(matrix: jax.Array | Rows, vectors: int) -> bool:
    """Whether a product with so many vectors pays for widening the matrix before."""
    return (
        jax.default_backend() == "cpu"
        and isinstance(matrix, Rows)
        and matrix.dtype.itemsize == 2
        and vectors >= matrix.widened_from
    )


def _widen(room: Any, arrays: Any) -> Any:
    del room  # its memory is taken
    return jax.tree.map(lambda w: w.astype(jnp.float32), arrays)


def _matrices(weights: BlockParams) -> list[Any]:
    attn, mlp = weights.attn, weights.mlp
    return [attn.query, attn.key_value, attn.output, mlp.gating, mlp.output]


def _with_matrices(weights: BlockParams, matrices: Sequence[Any]) -> BlockParams:
    query, key_value, output, gating, mlp_output = matrices
    return dataclasses.replace(
        weights,
        attn=dataclasses.replace(weights.attn, query=query, key_value=key_value, output=output),
        mlp=MlpParams(gating, mlp_output),
    )
