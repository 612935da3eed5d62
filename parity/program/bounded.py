"""A value with the bound of its error, and one operation on such values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from parity.program.jaxprs import dtype_of, is_inexact


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("value", "error"), meta_fields=("unknown",)
)
@dataclass(frozen=True)
class Bounded:
    """A value in the wide dtype and the bound of its error.

    Integers and booleans have errors as well, where a comparison or a rounding of inexact floats
    decides them: how far another rounding may put them, 1 for a boolean that may be the other one.

    Attributes:
      error: a real array, broadcastable to the value; None if the value is exact, which is known
        while tracing. Infinite where no bound is known.
      unknown: names of the operations without a rule that the value depends on.
    """

    value: Any
    error: Any = None
    unknown: frozenset[str] = frozenset()

    @property
    def bound(self) -> Any:
        """The bound as an array of the value's shape."""
        if self.error is not None:
            return jnp.broadcast_to(self.error, self.value.shape)
        dtype = self.value.dtype
        real = jnp.finfo(dtype).dtype if is_inexact(dtype) else jnp.float32
        return jnp.zeros(self.value.shape, real)

    @property
    def uncertain(self) -> Any:
        """Where the value may be another one; booleans of its shape."""
        return ~(self.bound == 0)


@dataclass(frozen=True)
class Operation:
    """One operation on bounded values.

    Attributes:
      values: its results in the wide dtype.
      unit: unit roundoff of its results; 0 for integers and booleans, whose results are exact.
      tiny: what rounding loses at most of a result that is too small for its dtype.
      wide: the wide dtype, in which errors are held.
      again: the results of the operation on other values of the inputs.
    """

    eqn: core.JaxprEqn
    inputs: list[Bounded]
    values: Sequence[Any]
    unit: float
    tiny: float
    wide: Any
    again: Callable[[list[Any]], Sequence[Any]]

    @property
    def name(self) -> str:
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        return self.eqn.params

    @property
    def value(self) -> Any:
        """The first result."""
        return self.values[0]

    @property
    def rounding(self) -> Any:
        """Error of rounding the first result once; zeros and infinities are not rounded."""
        size = finite_size(self.value)
        return jnp.where(size == 0, 0, self.unit * size + self.tiny)

    @property
    def bounds(self) -> list[Any]:
        """Errors of the inputs, each an array of its input's shape in the wide dtype."""
        return [x.bound.astype(self.wide) for x in self.inputs]

    @property
    def reals(self) -> list[Any]:
        """Values of the inputs in the wide dtype, integers and booleans too."""
        return [x.value.astype(self.wide) for x in self.inputs]

    @property
    def is_complex(self) -> bool:
        atoms = (*self.eqn.invars, *self.eqn.outvars)
        return any(jnp.issubdtype(dtype_of(atom), jnp.complexfloating) for atom in atoms)

    def on(self, *inputs: Any) -> Any:
        """The first result of the operation on these values of its inputs."""
        return self.again(list(inputs))[0]


def roundoff(dtype: Any) -> float:
    """Unit roundoff: half the distance from 1 to the next value. Of a complex dtype, its parts'."""
    return float(jnp.finfo(dtype).eps) / 2


def underflow(dtype: Any) -> float:
    """The largest error of rounding a number below the smallest one of full precision.

    It may become zero where XLA flushes such numbers, which it does in the dtypes that share
    float32's exponents and in wider ones; else it is rounded to a multiple of the smallest number.
    """
    limits = jnp.finfo(dtype)
    flushed = limits.nexp >= jnp.finfo(jnp.float32).nexp
    return float(limits.smallest_normal) * (1.0 if flushed else roundoff(dtype))


def finite_size(x: Any) -> Any:
    """|x|, and 0 for an infinity: it stays what it is, whatever it is multiplied or added to."""
    return jnp.where(jnp.isinf(x), 0, jnp.abs(x))


def gap(a: Any, b: Any) -> Any:
    """|a - b|, 0 between equal infinities."""
    return jnp.where(a == b, 0, jnp.abs(a - b))


def between(value: Any, low: Any, high: Any) -> Any:
    """How far from `value` another one between `low` and `high` may lie."""
    return jnp.maximum(gap(high, value), gap(value, low))


def any_uncertain(values: Sequence[Bounded]) -> Any:
    """Whether an element of any of these may be another one; a boolean scalar."""
    return functools.reduce(
        jnp.logical_or, (jnp.any(x.uncertain) for x in values), jnp.asarray(False)
    )
