"""Functions of one element.

To first order the error is |f'(x)| E(x) and what the library's approximation of f adds. How much
that is, in roundings of the result, was measured on XLA's CPU kernels in float32 and float64
against double precision (SciPy's); each figure here is at least that. Libraries compute narrower
dtypes in float32 and round once. Some compute f of an argument that was rounded on the way: those
have the error that so many more roundings of x would make.

Where f never decreases (or never increases) as x grows, f(x - E) and f(x + E) are the extremes,
which holds beyond first order and where f jumps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from parity.program.bounded import Operation, between, roundoff
from parity.program.jaxprs import dtype_of

# Roundings charged to a function that libraries approximate to a few ULP of float32.
_APPROXIMATED = 4.0
_COARSE = 8.0
# XLA's log1p and atanh in float64.
_COARSE_IN_FLOAT64 = 256.0


@dataclass(frozen=True)
class _Kernel:
    """How a library makes a function.

    Attributes:
      roundings: of the result, in the dtypes up to float32.
      in_float64: the same in float64.
      argument: roundings of the argument on the way.
      written: these are to the operation's own dtype, however narrow.
    """

    roundings: float = _APPROXIMATED
    in_float64: float = _COARSE
    argument: float = 0.0
    written: bool = False

    def error(self, op: Operation) -> Any:
        if op.unit < roundoff("float32"):
            return self.in_float64 * op.rounding
        # Beyond the usual 4 it is an error of the float32 inside.
        inside = max(self.roundings - _APPROXIMATED, 0) * roundoff("float32") / op.unit
        return (min(self.roundings, _APPROXIMATED) + inside) * op.rounding

    def input_error(self, op: Operation) -> Any:
        error = op.inputs[0].error
        if not self.argument:
            return error
        unit = op.unit if self.written else min(op.unit, roundoff("float32"))
        inside = self.argument * unit * jnp.abs(op.inputs[0].value)
        return inside if error is None else error + inside


_FEW = _Kernel()
_MORE = _Kernel(_COARSE)
_ONCE = _Kernel(1.0, 1.0)
_NOT_ROUNDED = _Kernel(0.0, 0.0)


def _smooth(slope: Callable[[Any, Any], Any], kernel: _Kernel, op: Operation) -> Any:
    own, moved = kernel.error(op), kernel.input_error(op)
    if moved is None:
        return own
    steepness = jnp.abs(slope(op.inputs[0].value, op.value))
    # A slope may be infinite at an exact value, which has no error.
    return own + jnp.where(moved == 0, 0, steepness * moved)


def _monotone(kernel: _Kernel, domain: tuple[float, float], op: Operation) -> Any:
    own, moved = kernel.error(op), kernel.input_error(op)
    if moved is None:
        return own
    x = op.inputs[0].value
    low, high = (op.on(jnp.clip(end, *domain)) for end in (x - moved, x + moved))
    return own + between(op.value, low, high)


def _exponential(op: Operation) -> Any:
    (x,) = op.inputs
    own = _FEW.error(op)
    if op.is_complex:
        return jnp.abs(op.value) * jnp.expm1(x.bound) + own
    # Not to first order: a masked logit of -2e38 has a large error, and an exponential of 0.
    return jnp.exp(x.value + x.bound) - op.value + own


def _two_argument_tangent(op: Operation) -> Any:
    """The angle of (x, y): across the negative x axis it jumps by 2π."""
    (y, x), (error_y, error_x) = op.reals, op.bounds
    moved = (jnp.abs(x) * error_y + jnp.abs(y) * error_x) / (x**2 + y**2)
    error = jnp.where((error_x == 0) & (error_y == 0), 0, moved)
    jumps = (x - error_x < 0) & (jnp.abs(y) <= error_y) & (error_y > 0)
    return jnp.where(jumps, 2 * math.pi, error) + _FEW.error(op)


def _logistic(op: Operation) -> Any:
    """Libraries write 1 / (1 + exp(-x)), in float16 too, where the exponential overflows."""
    own = _smooth(lambda _, y: y * (1 - y), _FEW, op)
    overflows = math.log(float(jnp.finfo(dtype_of(op.eqn.outvars[0])).max)) * (1 - 2 * op.unit)
    return own + jnp.where(op.reals[0] - op.bounds[0] <= -overflows, op.value, 0)


def _gaussian(x: Any) -> Any:
    return 2 / math.sqrt(math.pi) * jnp.exp(-(x**2))


# f'(x) of the value x with the result y, and how libraries make f
_SMOOTH: dict[str, tuple[Callable[[Any, Any], Any], _Kernel]] = {
    "log": (lambda x, _: 1 / x, _FEW),
    "log1p": (lambda x, _: 1 / (1 + x), _Kernel(in_float64=_COARSE_IN_FLOAT64)),
    "tanh": (lambda _, y: 1 - y**2, _MORE),
    "erf": (lambda x, _: _gaussian(x), _MORE),
    # exp(-x²) with the square rounded, or 1 - erf(x)
    "erfc": (lambda x, _: _gaussian(x), _Kernel(argument=4.0)),
    "sin": (lambda x, _: jnp.cos(x), _FEW),
    "cos": (lambda x, _: jnp.sin(x), _FEW),
    "tan": (lambda _, y: 1 + y**2, _FEW),
    "cosh": (lambda x, _: jnp.sinh(x), _Kernel(argument=1.0)),
    "rsqrt": (lambda x, y: 0.5 * y / x, _FEW),
    "square": (lambda x, _: 2 * x, _ONCE),
}

_EVERYWHERE = (-math.inf, math.inf)
# how libraries make f, and where it is defined
_MONOTONE: dict[str, tuple[_Kernel, tuple[float, float]]] = {
    "expm1": (_MORE, _EVERYWHERE),
    # JAX writes exp(x ln 2), with ln 2 and the product rounded.
    "exp2": (_Kernel(argument=2.0, written=True), _EVERYWHERE),
    "sqrt": (_ONCE, (0.0, math.inf)),
    "cbrt": (_FEW, _EVERYWHERE),
    "sinh": (_Kernel(_COARSE, argument=1.0), _EVERYWHERE),
    "asinh": (_FEW, _EVERYWHERE),
    "acosh": (_MORE, (1.0, math.inf)),
    "atanh": (_Kernel(in_float64=_COARSE_IN_FLOAT64), (-1.0, 1.0)),
    "asin": (_FEW, (-1.0, 1.0)),
    "acos": (_FEW, (-1.0, 1.0)),
    "atan": (_FEW, _EVERYWHERE),
    # 1 - x² with the square rounded
    "erf_inv": (_Kernel(_COARSE, in_float64=64.0, argument=1.0), (-1.0, 1.0)),
    **dict.fromkeys(("floor", "ceil", "round", "sign"), (_NOT_ROUNDED, _EVERYWHERE)),
}

RULES: dict[str, Callable[[Operation], Any]] = {
    "exp": _exponential,
    "logistic": _logistic,
    "atan2": _two_argument_tangent,
    **{name: functools.partial(_smooth, *row) for name, row in _SMOOTH.items()},
    **{name: functools.partial(_monotone, *row) for name, row in _MONOTONE.items()},
}
EXACT = frozenset(("floor", "ceil", "round", "sign"))
COMPLEX = frozenset(("exp",))
