"""How far apart two roundings of one formula may lie: a bound for every element of every tap.

Running error analysis (Wilkinson 1963; Higham, Accuracy and Stability of Numerical Algorithms,
section 3.3): a program is evaluated in a wide dtype, and beside each value x runs E(x), a bound of
the error that the program in its own dtypes can have made, to first order. With u the unit roundoff
of the dtype that an operation writes:

    c = a ± b          E(c) = E(a) + E(b) + u|c|
    c = a · b          E(c) = |a| E(b) + |b| E(a) + u|c|
    c = a / b          E(c) = (E(a) + |c| E(b)) / |b| + 2u|c|
    c = f(a)           E(c) = |f'(a)| E(a) + u|c|; a few u|c| where libraries approximate f
    c = Σ aᵢ bᵢ        E(c) = Σ |aᵢ| E(bᵢ) + Σ |bᵢ| E(aᵢ) + γ(n) Σ |aᵢ||bᵢ| + u|c|
    c = max, sort, ⌊a⌋  E(c) = the most that c moves while each a stays within E(a)
    moves              E moves along
    loops              E is carried beside each value

parity/program/error_rules.py has the whole table. Comparisons, places of a maximum and casts to
integers have errors as well, where the values that decide them lie within their errors of each
other; a choice or an index that may then be another one has a bound that covers what it may choose.

Two programs that round the same formula in other places or another order each stay within their own
E of the exact value. They have about as many roundings each, so the bound of their difference is
2E. A value whose error no rule covers has an infinite bound; the report then says `no bound known`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.program.bounded import Bounded, Operation, any_uncertain, roundoff, underflow
from parity.program.error_rules import COMPLEX, EXACT, RULES
from parity.program.jaxprs import Widening, dtype_of, evaluate, is_float, is_inexact
from parity.program.oracle import OracleDType, StagePrograms, collecting, fetched, unrounded
from parity.program.rules import flow
from parity.program.stages import Stage, injecting, stage_arguments
from parity.trace.frames import Trace
from parity.trace.tap import TappedFunction

# of a constant that is what its author wrote, in binary
_FEW_DIGITS = 15


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
        held = jnp.finfo(getattr(value, "dtype", jnp.float32))
        if wide.ndim and held.nmant < jnp.finfo(jnp.float32).nmant:
            return Bounded(wide)  # a narrow array is data, not a rounded constant
        # Those of few digits, such as 0.5 or 10000, are what their author wrote.
        digits = min(held.nmant // 2, _FEW_DIGITS) if held.nmant < 23 else _FEW_DIGITS
        short = wide == jax.lax.reduce_precision(wide, exponent_bits=8, mantissa_bits=digits)
        return Bounded(wide, jnp.where(short, 0.0, roundoff(held.dtype) * jnp.abs(wide)))

    def exact(self, value: Any) -> Bounded:
        """An input, taken as it is."""
        return Bounded(self._wide.cast(value))

    @property
    def dtype(self) -> Any:
        """In which values and errors are held."""
        return self._wide.dtype

    def __call__(self, eqn: core.JaxprEqn, inputs: list[Bounded]) -> list[Bounded]:
        name = eqn.primitive.name
        if name in flow.RULES:
            return flow.RULES[name](self, eqn, inputs)
        values = self._wide(eqn, [x.value for x in inputs])
        if all(x.error is None for x in inputs) and (name in EXACT or not _inexact(eqn)):
            return [Bounded(value) for value in values]
        unknown = frozenset().union(*(x.unknown for x in inputs))
        if not _has_rule(eqn):
            unknown |= {name}
            lost = _lost(eqn, inputs)
            errors = [jnp.full(value.shape, lost, self.dtype) for value in values]
            return [Bounded(v, e, unknown) for v, e in zip(values, errors, strict=True)]
        unit, tiny = self._roundings(eqn)
        operation = Operation(
            eqn, inputs, values, unit, tiny, self.dtype, lambda again: self._wide(eqn, again)
        )
        found = RULES[name](operation)
        errors = found if eqn.primitive.multiple_results else [found]
        return [
            Bounded(value) if error is None else Bounded(value, error, unknown)
            for value, error in zip(values, errors, strict=True)
        ]

    def _roundings(self, eqn: core.JaxprEqn) -> tuple[float, float]:
        """Unit roundoff and underflow of an operation's results."""
        floats = _inexact(eqn)
        if not floats:
            return 0.0, 0.0
        dtype = self.dtype if self._ideal else floats[0]
        if not self._ideal and eqn.primitive.name == "reduce_precision":
            return 2.0 ** -(eqn.params["mantissa_bits"] + 1), underflow(dtype)
        return roundoff(dtype), underflow(dtype)


def _inexact(eqn: core.JaxprEqn) -> list[Any]:
    """Dtypes of an operation's results that are rounded."""
    return [dtype_of(var) for var in eqn.outvars if is_inexact(dtype_of(var))]


def _lost(eqn: core.JaxprEqn, inputs: list[Bounded]) -> Any:
    """Error without a rule: infinite, but 0 for integers that are made of certain ones."""
    if _inexact(eqn) or any(is_inexact(dtype_of(atom)) for atom in eqn.invars):
        return jnp.inf
    return jnp.where(any_uncertain(inputs), jnp.inf, 0.0)


def _has_rule(eqn: core.JaxprEqn) -> bool:
    atoms = (*eqn.invars, *eqn.outvars)
    complexes = any(jnp.issubdtype(dtype_of(atom), jnp.complexfloating) for atom in atoms)
    return eqn.primitive.name in (COMPLEX if complexes else RULES)


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Names:
    """Names that a compiled program returns beside its arrays."""

    found: frozenset[str]


class Bounds:
    """Bounds of every tap of a stage, when the reference's values are what each tap passes on.

    Args:
      dtype: in which values and bounds are evaluated.

    Attributes:
      unknown: by full tap name, the operations without a rule that its bound depends on; where
        there are any, it may be infinite. Of the stages bounded so far.
    """

    def __init__(self, dtype: OracleDType) -> None:
        self._dtype = dtype
        self._programs = StagePrograms(self._bounding, dtype)
        self.unknown: dict[str, frozenset[str]] = {}

    def on(self, stage: Stage, reference: Trace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By full tap name: 2E of two roundings in the program's own dtypes, and 2E of two in the
        wide dtype, which is how far apart two formulations of one formula may lie in the oracle.
        """
        arguments = stage_arguments(stage, reference, "taps")
        own, ideal, names = self._programs.run(stage, injecting(stage.fn), arguments)
        fetch_own, fetch_ideal = fetched(stage, own), fetched(stage, ideal)
        self.unknown |= {stage.prefix + name: value.found for name, value in names.items()}
        return {name: (bound, fetch_ideal[name]) for name, bound in fetch_own.items()}

    def _bounding(self, fn: TappedFunction, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        taps = collecting(fn)
        own = jax.make_jaxpr(taps)(*arguments)
        ideal, shape = unrounded(taps, arguments)
        structure = jax.tree.structure(shape)

        def run(*arguments: Any) -> Any:
            leaves = jax.tree.leaves(arguments)
            own_rule, ideal_rule = RunningError(self._dtype), RunningError(self._dtype, ideal=True)
            own_found = _evaluated(own, leaves, own_rule)
            ideal_found = _evaluated(ideal, leaves, ideal_rule)
            pairs = zip(own_found, ideal_found, strict=True)
            names = [_Names(x.unknown | y.unknown) for x, y in pairs]
            parts = ([_bound(x) for x in own_found], [_bound(x) for x in ideal_found], names)
            return [jax.tree.unflatten(structure, part)[1] for part in parts]

        return run


def _evaluated(program: core.ClosedJaxpr, leaves: Sequence[Any], rule: RunningError) -> list[Any]:
    return evaluate(program, [rule.exact(x) for x in leaves], rule, rule.constant)


def _bound(x: Bounded) -> Any:
    error = 2 * x.bound
    return jnp.where(jnp.isnan(error), jnp.inf, error)
