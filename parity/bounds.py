"""How far apart two roundings of one formula may lie: a bound for every element of every tap.

Running error analysis (Wilkinson 1963; Higham, Accuracy and Stability of Numerical Algorithms,
section 3.3): a program is evaluated in a wide dtype, and beside each value x runs E(x), a bound of
the error that the program in its own dtypes can have made, to first order. With u the unit roundoff
of the dtype that an operation writes:

    c = a ± b          E(c) = E(a) + E(b) + u|c|
    c = a · b          E(c) = |a| E(b) + |b| E(a) + u|c|
    c = a / b          E(c) = (E(a) + |c| E(b)) / |b| + 2u|c|
    c = f(a)           E(c) = |f'(a)| E(a) + u|c|; 4u|c| where libraries approximate f
    c = Σ aᵢ bᵢ        E(c) = Σ |aᵢ| E(bᵢ) + Σ |bᵢ| E(aᵢ) + γ(n) Σ |aᵢ||bᵢ| + u|c|
    moves, selections  E moves along

parity/error_rules.py holds these, and the derivation of γ(n).

Two programs that round the same formula in other places or another order each stay within their own
E of the exact value. They have about as many roundings each, so the bound of their difference is
2E. A value whose error no rule covers has an infinite bound; the report then says `no bound known`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.error_rules import RULES, Bounded, Operation, roundoff
from parity.jaxprs import Widening, dtype_of, evaluate, is_float
from parity.oracle import OracleDType, StagePrograms, collecting, fetched, wide
from parity.program.tapping import TappedFunction
from parity.stages import Stage, injecting, stage_arguments
from parity.trace import Trace

# Operations that only move values: applied to the bounds as they are to the values. Inputs that are
# no floats are indices or predicates, and exact.
_MOVES = frozenset(
    (
        *("broadcast_in_dim", "reshape", "transpose", "squeeze", "expand_dims", "slice", "rev"),
        *("copy", "stop_gradient", "split", "optimization_barrier", "select_n", "concatenate"),
        *("stack", "pad", "gather", "dynamic_slice", "dynamic_update_slice"),
    )
)


class RunningError:
    """A rule for `evaluate` whose values are Bounded.

    Args:
      dtype: in which values are evaluated.
      ideal: bound the error of that evaluation itself, in which every operation rounds to `dtype`
        and constants were rounded to float32 when the program was traced; by default that of the
        program in its own dtypes, whose constants are what they are.
    """

    def __init__(self, dtype: str, *, ideal: bool = False) -> None:
        self._wide = Widening(dtype)
        self._ideal = ideal

    def constant(self, value: Any) -> Bounded:
        wide = self._wide.constant(value)
        if not self._ideal or not is_float(wide.dtype):
            return Bounded(wide)
        # Those of few digits, such as 0.5 or 10000, are what their author wrote.
        short = wide == jax.lax.reduce_precision(wide, exponent_bits=8, mantissa_bits=15)
        return Bounded(wide, jnp.where(short, 0.0, roundoff("float32") * jnp.abs(wide)))

    def exact(self, value: Any) -> Bounded:
        """An input, taken as it is."""
        return Bounded(self._wide.cast(value))

    def __call__(self, eqn: core.JaxprEqn, inputs: list[Bounded]) -> list[Bounded]:
        values = self._wide(eqn, [x.value for x in inputs])
        errors: Sequence[Any] = [None] * len(values)
        if any(is_float(dtype_of(var)) for var in eqn.outvars):
            errors = self._errors(eqn, inputs, values)
        return [Bounded(value, error) for value, error in zip(values, errors, strict=True)]

    def _errors(
        self, eqn: core.JaxprEqn, inputs: list[Bounded], values: Sequence[Any]
    ) -> Sequence[Any]:
        name = eqn.primitive.name
        if name in _MOVES:
            if all(x.error is None for x in inputs):
                return [None] * len(values)
            return self._wide(
                eqn, [x.bound if is_float(x.value.dtype) else x.value for x in inputs]
            )
        if name not in RULES:
            return [jnp.full(v.shape, jnp.inf, self._wide.dtype) for v in values]
        unit = roundoff(self._wide.dtype if self._ideal else dtype_of(eqn.outvars[0]))
        return [RULES[name](Operation(eqn, inputs, value, unit)) for value in values]


class Bounds:
    """Bounds of every tap of a stage, when the reference's values are what each tap passes on.

    Args:
      dtype: in which values and bounds are evaluated.
    """

    def __init__(self, dtype: OracleDType) -> None:
        self._dtype = dtype
        self._programs = StagePrograms(self._bounding)

    def on(self, stage: Stage, reference: Trace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By full tap name: 2E of two roundings in the program's own dtypes, and 2E of two in the
        wide dtype, which is how far apart two formulations of one formula may lie in the oracle.
        """
        arguments = stage_arguments(stage, reference, "taps")
        with wide(self._dtype):
            own, ideal = self._programs.run(stage, injecting(stage.fn), arguments)
            fetch_own, fetch_ideal = fetched(stage, own), fetched(stage, ideal)
        return {name: (bound, fetch_ideal[name]) for name, bound in fetch_own.items()}

    def _bounding(self, fn: TappedFunction, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        taps = collecting(fn)
        own = jax.make_jaxpr(taps)(*arguments)
        cast = jax.tree.map(Widening("float32").cast, arguments)
        ideal, shape = jax.make_jaxpr(taps, return_shape=True)(*cast)

        def run(*arguments: Any) -> Any:
            leaves = jax.tree.leaves(arguments)
            found = []
            for program, rule in (
                (own, RunningError(self._dtype)),
                (ideal, RunningError(self._dtype, ideal=True)),
            ):
                outputs = evaluate(program, [rule.exact(x) for x in leaves], rule, rule.constant)
                bounds = [_bound(x) for x in outputs]
                found.append(jax.tree.unflatten(jax.tree.structure(shape), bounds)[1])
            return found

        return run


def _bound(x: Bounded) -> Any:
    error = 2 * x.bound
    return jnp.where(jnp.isnan(error), jnp.inf, error)
