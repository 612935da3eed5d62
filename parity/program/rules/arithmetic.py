"""Sums, products, quotients and powers of elements, casts, and the parts of complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from parity.program.bounded import Operation, between, finite_size, roundoff
from parity.program.jaxprs import dtype_of, is_float

# Roundings of a complex product, √2 γ(2), and quotient, √2 γ(4) (Higham 2002, Lemma 3.5).
_COMPLEX_PRODUCT = 3
_COMPLEX_QUOTIENT = 6
_POWER = 4


def _add(op: Operation) -> Any:
    a, b = op.inputs
    return a.bound + b.bound + op.rounding


def _multiply(op: Operation) -> Any:
    a, b = op.inputs
    error = (_COMPLEX_PRODUCT if op.is_complex else 1) * op.rounding
    for x, y in ((a, b), (b, a)):
        if y.error is not None:
            error = error + finite_size(x.value) * y.bound
    return error


def _divide(op: Operation) -> Any:
    a, b = op.inputs
    if not op.unit:  # a quotient of integers jumps
        return jnp.where(a.uncertain | b.uncertain, jnp.inf, 0.0)
    # XLA may multiply by a reciprocal instead, which is rounded too.
    roundings = _COMPLEX_QUOTIENT if op.is_complex else 2
    moved = (a.bound + finite_size(op.value) * b.bound) / jnp.abs(b.value)
    return moved + roundings * op.rounding


def _remainder(op: Operation) -> Any:
    """x - y·trunc(x / y) jumps where x / y is an integer: from 0 to y, with the sign of x."""
    (x, y), (error_x, error_y) = op.reals, op.bounds
    size, quotient = jnp.abs(y), x / y
    reach = (error_x + jnp.abs(quotient) * error_y) / size
    error = error_x + jnp.abs(jnp.trunc(quotient)) * error_y
    jumps = jnp.trunc(quotient + reach) != jnp.trunc(quotient - reach)
    value = jnp.abs(op.value)
    across = jnp.maximum(value, size + error_y - value)
    return error + jnp.where(jumps, across, 0) + op.rounding


def _power(op: Operation) -> Any:
    x, y = op.inputs
    size = jnp.abs(op.value)
    error = _POWER * op.rounding
    slopes = y.value / x.value, jnp.log(jnp.abs(x.value))
    for slope, moved in zip(slopes, op.inputs, strict=True):
        if moved.error is not None:  # a slope may be infinite at an exact value
            change = size * jnp.abs(slope) * moved.bound
            error = error + jnp.where(moved.bound == 0, 0, change)
    return error


def _integer_power(op: Operation) -> Any:
    (x,), n = op.inputs, op.params["y"]
    each = _COMPLEX_PRODUCT if op.is_complex else 1
    return jnp.abs(n * x.value ** (n - 1)) * x.bound + each * max(abs(n) - 1, 1) * op.rounding


def _convert(op: Operation) -> Any:
    (x,), before, after = op.inputs, dtype_of(op.eqn.invars[0]), dtype_of(op.eqn.outvars[0])
    if jnp.issubdtype(after, jnp.bool_):
        return (~(jnp.abs(x.value) > x.bound) & x.uncertain).astype(op.wide)
    if not op.unit:
        return _truncated(op) if is_float(before) else x.error
    if jnp.issubdtype(before, jnp.bool_):
        return x.error
    if is_float(before) and roundoff(before) >= op.unit:
        return x.error
    if jnp.issubdtype(before, jnp.integer):
        return x.bound + _unrepresented(op)
    return x.bound + op.rounding


def _truncated(op: Operation) -> Any:
    """Of a cast to integers: truncation never decreases as its input grows."""
    (x,), (error,) = op.reals, op.bounds
    return between(jnp.trunc(x), jnp.trunc(x - error), jnp.trunc(x + error))


def _unrepresented(op: Operation) -> Any:
    """Error of rounding integers, most of which a float holds as they are."""
    bits = jnp.finfo(dtype_of(op.eqn.outvars[0]))
    real = jnp.real(op.value)
    held = jax.lax.reduce_precision(real, exponent_bits=bits.nexp, mantissa_bits=bits.nmant)
    return jnp.where(held == real, 0, op.rounding)


def _iota(op: Operation) -> Any:
    return _unrepresented(op) if op.unit else None


def _size(op: Operation) -> Any:
    (x,) = op.inputs
    return x.bound + 2 * op.rounding if op.is_complex else x.error


def _part(op: Operation) -> Any:
    return op.inputs[0].error


def _joined(op: Operation) -> Any:
    real, imaginary = op.bounds
    return jnp.hypot(real, imaginary)


# operation -> bound of its result's error, None for an exact one
RULES: dict[str, Callable[[Operation], Any]] = {
    "add": _add,
    "add_any": _add,
    "sub": _add,
    "mul": _multiply,
    "div": _divide,
    "rem": _remainder,
    "pow": _power,
    "integer_pow": _integer_power,
    "convert_element_type": _convert,
    # The unit is that of the precision that it names.
    "reduce_precision": lambda op: op.inputs[0].bound + op.rounding,
    "iota": _iota,
    "neg": _part,
    "abs": _size,
    "conj": _part,
    "real": _part,
    "imag": _part,
    "complex": _joined,
}
# Results of these are exact where inputs are.
EXACT = frozenset(("neg", "conj", "real", "imag", "complex"))
# Rules that hold for complex numbers, whose error is that of the modulus.
COMPLEX = frozenset(RULES) - {"rem", "pow"}
