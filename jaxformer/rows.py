"""Weights laid out row by row, and products with them in the form that is fastest for their shape.

XLA's CPU backend is fast where a product contracts over the last axis of its weights, and there
only. A product of one vector reads the weights at the speed of memory; of two to a few vectors it
falls to a tenth of that, unless each vector is multiplied alone. Which form is fastest depends on
the machine and the shape, so it is measured (`jaxformer.tune`), and stands in the weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Form = Literal["dot", "stack", "transposed", "widened"]
# Up to so many vectors, this form; rising, the last for any number more.
Forms = tuple[tuple[int, Form], ...]

DEFAULT_FORMS: Forms = ((8, "stack"), (1 << 31, "dot"))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rows:
    """A weight of shape O x I, its rows contracted with what comes in.

    Attributes:
      matrix: O outputs, flattened, and I inputs, flattened.
      out_shape: the axes that O is made of.
      in_axes: how many of the input's last axes I is made of.
      forms: how to multiply, by the number of vectors.
    """

    matrix: Float[Array, "O I"]
    out_shape: tuple[int, ...] = field(metadata={"static": True})
    in_axes: int = field(default=1, metadata={"static": True})
    forms: Forms = field(default=DEFAULT_FORMS, metadata={"static": True})

    @property
    def dtype(self) -> jnp.dtype:
        """Of the weights."""
        return self.matrix.dtype

    def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
        """The product, in x's dtype; each output is rounded once."""
        leading = x.shape[: x.ndim - self.in_axes]
        vectors = x.reshape(-1, self.matrix.shape[1])
        return rows_product(self.matrix, vectors, self.forms).reshape(*leading, *self.out_shape)


def rows_product(
    matrix: Float[Array, "O I"], vectors: Float[Array, "M I"], forms: Forms
) -> Float[Array, "M O"]:
    """Each vector with each row, in the form that `forms` has for M vectors."""
    form = next(form for limit, form in forms if vectors.shape[0] <= limit)
    return FORMS[form](matrix, vectors)


def _dot(matrix: jax.Array, vectors: jax.Array) -> jax.Array:
    return vectors @ matrix.T


def _stack(matrix: jax.Array, vectors: jax.Array) -> jax.Array:
    return jnp.stack([matrix @ vectors[m] for m in range(vectors.shape[0])])


def _transposed(matrix: jax.Array, vectors: jax.Array) -> jax.Array:
    return (matrix @ vectors.T).T


def _widened(matrix: jax.Array, vectors: jax.Array) -> jax.Array:
    wide = vectors.astype(jnp.float32) @ matrix.astype(jnp.float32).T
    return wide.astype(vectors.dtype)


FORMS: dict[Form, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "dot": _dot,
    "stack": _stack,
    "transposed": _transposed,
    "widened": _widened,
}
