"""Evaluate a JAX program operation by operation under another meaning of its operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.errors import RequestError

# Called with an equation and its inputs' values, returns its outputs' values.
Rule = Callable[[core.JaxprEqn, list[Any]], Sequence[Any]]

# Operations that only call a program, and the parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "custom_vmap_call": "call",
    "composite": "jaxpr",
}


def called(eqn: core.JaxprEqn) -> core.ClosedJaxpr | None:
    """The program that an equation does nothing but call; None for a real operation."""
    key = _CALLS.get(eqn.primitive.name)
    inner = None if key is None else eqn.params[key]
    return core.ClosedJaxpr(inner, ()) if isinstance(inner, core.Jaxpr) else inner


def evaluate(
    program: core.ClosedJaxpr,
    args: Sequence[Any],
    rule: Rule,
    constant: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """The program's outputs when `rule` gives each operation its meaning; calls are entered.

    Args:
      args: a value of the rule's kind per input.
      constant: makes a value of the rule's kind of a literal or a closed-over array.
    """
    env: dict[core.Var, Any] = {}

    def read(atom: Any) -> Any:
        return constant(atom.val) if isinstance(atom, core.Literal) else env[atom]

    jaxpr = program.jaxpr
    env.update(zip(jaxpr.constvars, map(constant, program.consts), strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        inner = called(eqn)
        outputs = rule(eqn, inputs) if inner is None else evaluate(inner, inputs, rule, constant)
        env.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def operations(program: core.ClosedJaxpr) -> frozenset[str]:
    """Names of a program's operations, those of the programs inside it included."""
    return frozenset(_operations(program.jaxpr))


def _operations(program: core.Jaxpr) -> Iterator[str]:
    for eqn in program.eqns:
        yield eqn.primitive.name
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, core.ClosedJaxpr):
                    inner = inner.jaxpr
                if isinstance(inner, core.Jaxpr):
                    yield from _operations(inner)


class EvaluationError(RequestError):
    """A program that can't be evaluated in another dtype; the message names the operation."""


class Widening:
    """Operations and constants in a wider float: nothing is rounded to a narrower one.

    A cast to a narrower float passes its value on; integers and booleans stay as they are. Complex
    numbers have parts of the wide dtype. A float that is made of given bits is widened after that.

    Args:
      dtype: float32 or float64; the latter needs x64 enabled around tracing and running.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = jnp.dtype(dtype)
        self._programs: dict[int, tuple[object, core.ClosedJaxpr]] = {}

    def cast(self, value: Any) -> Any:
        """A float array, or its abstract shape, in the wide dtype; anything else unchanged."""
        if not is_inexact(value.dtype):
            return value
        if isinstance(value, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(value.shape, self._widened(value.dtype))
        return jnp.asarray(value).astype(self._widened(value.dtype))

    def constant(self, value: Any) -> Any:
        if isinstance(value, jax.Array):  # random keys too
            return self.cast(value)
        return self.cast(jnp.asarray(value, getattr(value, "dtype", np.asarray(value).dtype)))

    def __call__(self, eqn: core.JaxprEqn, inputs: list[Any]) -> Sequence[Any]:
        """The meaning of one operation.

        Raises:
          EvaluationError: the operation reads a float's bits, which a wider one hasn't.
        """
        name = eqn.primitive.name
        if name == "reduce_precision":
            return inputs
        if name == "bitcast_convert_type" and not is_inexact(dtype_of(eqn.invars[0])):
            return [self.cast(eqn.primitive.bind(*inputs, **eqn.params))]
        if name in ("bitcast_convert_type", "pallas_call", "ffi_call", "custom_call"):
            raise EvaluationError(f"{name} has no meaning in {self.dtype}")
        params = self.parameters(eqn.params)
        outputs = eqn.primitive.bind(*inputs, **params)
        return outputs if eqn.primitive.multiple_results else [outputs]

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """An operation's parameters where its arrays are wide."""
        params = {key: self._parameter(value) for key, value in given.items()}
        if "precision" in params:  # accelerators multiply narrower by default
            params["precision"] = jax.lax.Precision.HIGHEST
        return params

    def _parameter(self, value: Any) -> Any:
        if isinstance(value, core.ClosedJaxpr):
            return self._inner(value, value)
        if isinstance(value, core.Jaxpr):  # what a reduction or scatter combines elements by
            return self._inner(value, core.ClosedJaxpr(value, ())).jaxpr
        if isinstance(value, tuple) and value and isinstance(value[0], core.ClosedJaxpr):
            wide = [self._parameter(inner) for inner in value]
            return type(value)(*wide) if hasattr(value, "_fields") else tuple(wide)
        if isinstance(value, np.dtype) and is_inexact(value):
            return self._widened(value)
        return value

    def _inner(self, held: object, program: core.ClosedJaxpr) -> core.ClosedJaxpr:
        """One object for one program, or JAX would compile what holds it each time anew."""
        if id(held) not in self._programs:
            self._programs[id(held)] = held, self.program(program)
        return self._programs[id(held)][1]

    def _widened(self, dtype: Any) -> Any:
        if is_float(dtype):
            return self.dtype
        return jnp.dtype(jnp.complex128 if self.dtype.itemsize == 8 else jnp.complex64)

    def program(self, program: core.ClosedJaxpr) -> core.ClosedJaxpr:
        """A whole program in the wide dtype, such as a loop's body."""
        avals = [self.cast(jax.ShapeDtypeStruct(a.shape, a.dtype)) for a in program.in_avals]

        def widened(*args: Any) -> list[Any]:
            return evaluate(program, args, self, self.constant)

        return jax.make_jaxpr(widened)(*avals)


def is_float(dtype: Any) -> bool:
    """bfloat16 and its kin included."""
    return jnp.issubdtype(dtype, jnp.floating)


def is_inexact(dtype: Any) -> bool:
    """A float or a complex number."""
    return jnp.issubdtype(dtype, jnp.inexact)


def dtype_of(atom: core.Var | core.Literal) -> Any:
    """The dtype of a variable or literal of a program."""
    aval: Any = atom.aval
    return aval.dtype
