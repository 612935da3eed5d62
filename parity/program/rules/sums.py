"""Sums and products of many elements: reductions, matrix products, convolutions, prefix sums.

    c = Σ aᵢ bᵢ    E(c) = Σ |aᵢ| E(bᵢ) + Σ |bᵢ| E(aᵢ) + γ(n) Σ |aᵢ||bᵢ| + u|c|
    c = Π aᵢ       E(c) = Π (|aᵢ| + E(aᵢ)) - Π |aᵢ| + γ(n - 1) |c|

(Higham 2002, sections 3.1 and 3.3.) parity/program/summation.py has γ. A convolution is a sum of
products over a window and the channels of a group, made directly or as a matrix product: algorithms
that transform their input first (Winograd's) err more, and are not covered.

A prefix sum is made as a tree of depth 2⌈log₂ n⌉, each of whose levels rounds to the result's dtype
(lax.associative_scan, XLA's scans), or in one pass that accumulates in float32: either is covered.
Sums over windows may round each addition to the result's dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from parity.program.bounded import Operation, between, finite_size, roundoff
from parity.program.summation import chain_constant, summation_constant, tree_depth


def _accumulated(terms: int, op: Operation) -> float:
    unit = min(op.unit, roundoff("float32"))
    if op.is_complex:  # a product has two roundings more, and parts err together
        return 2 * summation_constant(terms + 2, op.value.size, unit)
    return summation_constant(terms, op.value.size, unit)


def _sum(op: Operation) -> Any:
    (x,), axes = op.inputs, op.params["axes"]
    terms = math.prod(x.value.shape[axis] for axis in axes)
    accumulated = _accumulated(terms, op) * jnp.sum(jnp.abs(x.value), axes)
    return jnp.sum(x.bound, axes) + accumulated + op.rounding


def _bilinear(product: Callable[[Any, Any], Any], terms: int, op: Operation) -> Any:
    """Of sums of `terms` products of an element of the first input and one of the second."""
    size_a, size_b = (jnp.abs(x.value).astype(op.wide) for x in op.inputs[:2])
    error_a, error_b = op.bounds[:2]
    # One product serves the summation's own term and an error of a; a second that of b.
    error = product(_accumulated(terms, op) * size_a + error_a, size_b)
    if op.inputs[1].error is not None:
        error = error + product(size_a, error_b)
    return error + op.rounding


def _product(op: Operation) -> Any:
    numbers = op.params["dimension_numbers"]
    (contracted, _), _ = numbers
    terms = math.prod(op.inputs[0].value.shape[axis] for axis in contracted)
    dot = functools.partial(jax.lax.dot_general, dimension_numbers=numbers)
    return _bilinear(dot, terms, op)


def _ragged_product(op: Operation) -> Any:
    sizes = op.inputs[2]
    numbers = op.params["ragged_dot_dimension_numbers"]
    (contracted, _), _ = numbers.dot_dimension_numbers
    terms = math.prod(op.inputs[0].value.shape[axis] for axis in contracted)
    error = _bilinear(lambda a, b: op.on(a, b, sizes.value), terms, op)
    return jnp.where(jnp.any(sizes.uncertain), jnp.inf, error)


def _convolution(op: Operation) -> Any:
    kernel = op.inputs[1].value
    outputs = kernel.shape[op.params["dimension_numbers"].rhs_spec[0]]
    return _bilinear(op.on, kernel.size // outputs, op)


def _prefix_sum(op: Operation) -> Any:
    (x,), (error,) = op.reals, op.bounds
    terms = x.shape[op.params["axis"]]
    levels = chain_constant(tree_depth(terms), op.value.size, op.unit)
    return op.on(error) + (levels + _accumulated(terms, op)) * op.on(jnp.abs(x)) + op.rounding


def _window_sum(op: Operation) -> Any:
    (x,), (error,) = op.reals, op.bounds
    additions = math.prod(op.params["window_dimensions"]) - 1
    rounded = chain_constant(additions, op.value.size, op.unit)
    return op.on(error) + rounded * op.on(jnp.abs(x)) + op.rounding


def _multiplied(terms: int, op: Operation) -> Any:
    (x,), (error,) = op.reals, op.bounds
    size = jnp.abs(x)
    relative = chain_constant(max(terms - 1, 0), op.value.size, op.unit)
    own = relative * finite_size(op.value) + op.rounding
    if op.inputs[0].error is None:
        return own
    return op.on(size + error) - op.on(size) + own


def _prefix_product(op: Operation) -> Any:
    return _multiplied(op.value.shape[op.params["axis"]], op)


def _product_of(op: Operation) -> Any:
    shape = op.inputs[0].value.shape
    return _multiplied(math.prod(shape[axis] for axis in op.params["axes"]), op)


def _prefix_logsumexp(op: Operation) -> Any:
    """Each level of the tree is max + log1p(exp(-|difference|)), whose roundings are less than
    4u(|y| + 2) with y its result. What is passed on of it is weighted by exp(y - y'), y' the final
    result, so that |y| exp(y - y') is at most |y'| + 1/e: y' stands for y in the bound.
    """
    (x,), (error,) = op.reals, op.bounds
    levels = tree_depth(x.shape[op.params["axis"]])
    own = 4 * levels * op.unit * (finite_size(op.value) + 2 + 1 / math.e)
    own = jnp.where(jnp.isinf(op.value), 0, own)
    # It grows with each of its terms.
    return own + between(op.value, op.on(x - error), op.on(x + error))


RULES: dict[str, Callable[[Operation], Any]] = {
    "reduce_sum": _sum,
    "dot_general": _product,
    "ragged_dot_general": _ragged_product,
    "conv_general_dilated": _convolution,
    "cumsum": _prefix_sum,
    "reduce_window_sum": _window_sum,
    "reduce_prod": _product_of,
    "cumprod": _prefix_product,
    "cumlogsumexp": _prefix_logsumexp,
}
COMPLEX = frozenset(("reduce_sum", "dot_general"))
