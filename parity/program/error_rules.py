"""Error of one operation's result, to first order: the rules of parity/program/bounds.py.

Sums of n terms are accumulated in float32 at least (XLA's CPU and GPU kernels do so for narrower
inputs), in an order that is the kernel's own. Roundings of such sums behave like independent ones:

    γ(n) = exp(λ √n u + n u² / (1 - u)) - 1

fails with a probability of at most 2n exp(-λ²(1 - u)²/2) (Higham and Mary 2019, Theorem 2.4); λ is
chosen so that over every sum of an array this is at most FAILURE_PROBABILITY.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from parity.program.jaxprs import dtype_of, is_float

FAILURE_PROBABILITY = 1e-9
# Roundings charged to a function that libraries approximate to a few ULP of float32.
_APPROXIMATED = 4.0


@dataclass(frozen=True)
class Bounded:
    """A value in the wide dtype and the bound of its error, broadcastable; None if exact."""

    value: Any
    error: Any = None

    @property
    def bound(self) -> Any:
        """The bound as an array of the value's shape."""
        if self.error is not None:
            return jnp.broadcast_to(self.error, self.value.shape)
        dtype = self.value.dtype if is_float(self.value.dtype) else jnp.float32
        return jnp.zeros(self.value.shape, dtype)


@dataclass(frozen=True)
class Operation:
    """One float operation.

    Attributes:
      unit: unit roundoff of its result.
    """

    eqn: core.JaxprEqn
    inputs: list[Bounded]
    value: Any
    unit: float

    @property
    def rounding(self) -> Any:
        """Error of rounding the result once."""
        return self.unit * jnp.abs(self.value)


def roundoff(dtype: Any) -> float:
    """Unit roundoff: half the distance from 1 to the next value."""
    return float(jnp.finfo(dtype).eps) / 2


def summation_constant(terms: int, sums: int, unit: float) -> float:
    """γ(n) of the module's text for `sums` sums of `terms` terms each."""
    tail = math.log(2 * max(terms, 1) * max(sums, 1) / FAILURE_PROBABILITY)
    probable = math.sqrt(2 * tail) / (1 - unit)
    grown = probable * math.sqrt(terms) * unit + terms * unit**2 / (1 - unit)
    return math.expm1(grown)


def _accumulated(terms: int, op: Operation) -> float:
    return summation_constant(terms, op.value.size, min(op.unit, roundoff("float32")))


def _add(op: Operation) -> Any:
    a, b = op.inputs
    return a.bound + b.bound + op.rounding


def _multiply(op: Operation) -> Any:
    a, b = op.inputs
    return jnp.abs(a.value) * b.bound + jnp.abs(b.value) * a.bound + op.rounding


def _divide(op: Operation) -> Any:
    a, b = op.inputs
    # XLA may multiply by a reciprocal instead, which is rounded too.
    return (a.bound + jnp.abs(op.value) * b.bound) / jnp.abs(b.value) + 2 * op.rounding


def _power(op: Operation) -> Any:
    x, y = op.inputs
    size = jnp.abs(op.value)
    error = _APPROXIMATED * op.rounding
    if x.error is not None:
        error = error + size * jnp.abs(y.value / x.value) * x.bound
    if y.error is not None:
        error = error + size * jnp.abs(jnp.log(jnp.abs(x.value))) * y.bound
    return error


def _integer_power(op: Operation) -> Any:
    (x,), n = op.inputs, op.eqn.params["y"]
    return jnp.abs(n * x.value ** (n - 1)) * x.bound + max(abs(n) - 1, 1) * op.rounding


def _exponential(op: Operation) -> Any:
    (x,) = op.inputs
    # Not to first order: a masked logit of -2e38 has a large error, and an exponential of 0.
    return jnp.exp(x.value + x.bound) - op.value + _APPROXIMATED * op.rounding


def _unary(slope: Callable[[Any, Any], Any], roundings: float, op: Operation) -> Any:
    (x,) = op.inputs
    error = roundings * op.rounding
    return error if x.error is None else error + slope(x.value, op.value) * x.bound


def _extreme(op: Operation) -> Any:
    a, b = op.inputs
    best = jnp.maximum if op.eqn.primitive.name == "max" else jnp.minimum
    up = best(a.value + a.bound, b.value + b.bound) - op.value
    return jnp.maximum(up, op.value - best(a.value - a.bound, b.value - b.bound))


def _extreme_of(op: Operation) -> Any:
    (x,), axes = op.inputs, op.eqn.params["axes"]
    best = jnp.max if op.eqn.primitive.name == "reduce_max" else jnp.min
    up = best(x.value + x.bound, axes) - op.value
    return jnp.maximum(up, op.value - best(x.value - x.bound, axes))


def _convert(op: Operation) -> Any:
    (x,), before = op.inputs, dtype_of(op.eqn.invars[0])
    if is_float(before) and roundoff(before) >= op.unit:
        return x.error
    return x.bound + op.rounding


def _sum(op: Operation) -> Any:
    (x,), axes = op.inputs, op.eqn.params["axes"]
    terms = math.prod(x.value.shape[axis] for axis in axes)
    accumulated = _accumulated(terms, op) * jnp.sum(jnp.abs(x.value), axes)
    return jnp.sum(x.bound, axes) + accumulated + op.rounding


def _product(op: Operation) -> Any:
    a, b = op.inputs
    numbers = op.eqn.params["dimension_numbers"]
    dot = functools.partial(jax.lax.dot_general, dimension_numbers=numbers)
    size_a, size_b = jnp.abs(a.value), jnp.abs(b.value)
    (contracted, _), _ = numbers
    terms = math.prod(a.value.shape[axis] for axis in contracted)
    # One product serves the summation's own term and an error of a; a second that of b.
    error = dot(_accumulated(terms, op) * size_a + a.bound, size_b)
    if b.error is not None:
        error = error + dot(size_a, b.bound)
    return error + op.rounding


def _gaussian(x: Any) -> Any:
    return 2 / math.sqrt(math.pi) * jnp.exp(-(x**2))


# |f'(x)| of unary functions of the value x with the result y, and how often the result is rounded
_UNARY: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
    "neg": (lambda _, __: 1.0, 0),
    "abs": (lambda _, __: 1.0, 0),
    "log": (lambda x, _: 1 / jnp.abs(x), _APPROXIMATED),
    "log1p": (lambda x, _: 1 / jnp.abs(1 + x), _APPROXIMATED),
    "tanh": (lambda _, y: 1 - y**2, _APPROXIMATED),
    "logistic": (lambda _, y: y * (1 - y), _APPROXIMATED),
    "erf": (lambda x, _: _gaussian(x), _APPROXIMATED),
    "erfc": (lambda x, _: _gaussian(x), _APPROXIMATED),
    "sin": (lambda x, _: jnp.abs(jnp.cos(x)), _APPROXIMATED),
    "cos": (lambda x, _: jnp.abs(jnp.sin(x)), _APPROXIMATED),
    "sqrt": (lambda x, y: 0.5 * y / jnp.where(x == 0, 1, x), 1),
    "rsqrt": (lambda x, y: 0.5 * jnp.abs(y / x), _APPROXIMATED),
    "square": (lambda x, _: 2 * jnp.abs(x), 1),
}

# operation -> bound of its result's error, None for an exact one
RULES: dict[str, Callable[[Operation], Any]] = {
    "add": _add,
    "add_any": _add,
    "sub": _add,
    "mul": _multiply,
    "div": _divide,
    "pow": _power,
    "integer_pow": _integer_power,
    "exp": _exponential,
    "max": _extreme,
    "min": _extreme,
    "convert_element_type": _convert,
    "reduce_sum": _sum,
    "reduce_max": _extreme_of,
    "reduce_min": _extreme_of,
    "dot_general": _product,
    "iota": lambda _: None,
    **{name: functools.partial(_unary, *rule) for name, rule in _UNARY.items()},
}
