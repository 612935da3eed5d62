"""Weights laid out row by row, and products with them in the form that is fastest for their shape.

XLA's CPU backend multiplies a vector fast where it contracts over the last axis of the weights,
and there only. Of two to a few vectors, a product takes ten times as long as of one, unless each is
multiplied alone.

Bfloat16 weights are widened while they are read as long as the vector fits 16 kB as float32; past
that XLA writes a widened copy of the weights first, which takes four times as long. So a long
contraction is cut into pieces that fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Form = Literal["dot", "stack"]
# Up to so many vectors, this form; rising, the last for any number more.
Forms = tuple[tuple[int, Form], ...]

LONGEST = 4096


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rows:
    """A weight of shape O x I, its rows contracted with what comes in.

    Attributes:
      pieces: of O outputs, flattened, and I inputs, flattened and cut.
      out_shape: the axes that O is made of.
      in_axes: how many of the input's last axes I is made of.
      forms: how to multiply, by the number of vectors.
      widened_from: of so many vectors on, worth widening before; see `forms.Choice`.
    """

    pieces: tuple[Float[Array, "O J"], ...]
    out_shape: tuple[int, ...] = field(metadata={"static": True})
    in_axes: int = field(metadata={"static": True})
    forms: Forms = field(metadata={"static": True})
    widened_from: int = field(metadata={"static": True})

    @property
    def dtype(self) -> jnp.dtype:
        """Of the weights."""
        return self.pieces[0].dtype

    @property
    def table(self) -> Float[Array, "O I"]:
        """The whole matrix; one that was not cut is not copied."""
        return self.pieces[0] if len(self.pieces) == 1 else jnp.concatenate(self.pieces, axis=1)

    def form(self, vectors: int) -> Form:
        """How so many vectors are multiplied."""
        return next(form for limit, form in self.forms if vectors <= limit)

    def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
        """The product, summed in float32 at least, and rounded once to x's dtype."""
        leading = x.shape[: x.ndim - self.in_axes]
        inputs = sum(piece.shape[1] for piece in self.pieces)
        vectors = x.reshape(-1, inputs)
        if self.in_axes > 1:
            vectors = _flat(vectors)
        product = rows_product(self.pieces, vectors, self.form(vectors.shape[0]))
        return product.reshape(*leading, *self.out_shape)


def cut(matrix: Float[Array, "O I"]) -> tuple[Float[Array, "O J"], ...]:
    """The matrix in as few equal pieces as fit; in one where it can't be cut evenly."""
    inputs = matrix.shape[1]
    parts = -(-inputs // LONGEST)
    if parts == 1 or inputs % parts:
        return (matrix,)
    return tuple(jnp.split(matrix, parts, axis=1))


def rows_product(
    pieces: Sequence[Float[Array, "O J"]], vectors: Float[Array, "M I"], form: Form
) -> Float[Array, "M O"]:
    """Each vector with each row."""
    multiply = FORMS[form]
    products, start = [], 0
    for piece in pieces:
        stop = start + piece.shape[1]
        products.append(multiply(piece, vectors[:, start:stop]))
        start = stop
    return sum(products[1:], start=products[0]).astype(vectors.dtype)


def _dot(matrix: jax.Array, vectors: jax.Array) -> jax.Array:
    return jnp.dot(vectors, matrix.T, preferred_element_type=_sums(vectors))


def stacked(matrix: Float[Array, "O I"], vectors: Float[Array, "M I"]) -> Float[Array, "M O"]:
    """Each of a few vectors with each row, on its own; in float32 at least."""
    return jnp.stack([_one(matrix, vectors[m]) for m in range(vectors.shape[0])])


def _one(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    sums = _sums(vector)
    product = jnp.dot(matrix, vector, preferred_element_type=sums)
    if sums == vector.dtype:
        return product
    # One bit of float32 is given up: without an operation between them XLA joins the product and
    # the sum of pieces, and then no longer widens the weights while it reads them.
    return jax.lax.reduce_precision(product, exponent_bits=8, mantissa_bits=22)


def _flat(vectors: jax.Array) -> jax.Array:
    """The same values, truly in two axes.

    XLA joins a reshape to the product behind it, whose inner loop then divides every index: a
    decoding step of 1B takes 127 ms instead of 115. It does not see that these steps undo each
    other.
    """
    return jnp.pad(vectors, ((0, 0), (0, 1)))[:, :-1]


def _sums(x: jax.Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


FORMS: dict[Form, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "dot": _dot,
    "stack": stacked,
}
