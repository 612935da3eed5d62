"""Loops and branches: their programs are evaluated on values and errors together.

A loop carries the error of each value beside it. Which of the carried values are exact is found
first, by tracing turns of the loop until it no longer changes. How often a loop turns, and which
branch is taken, must be certain: of what follows from a choice that may be another no bound is
known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend import core

from parity.program.bounded import Bounded
from parity.program.jaxprs import evaluate


class BoundingRule(Protocol):
    """What gives each operation its meaning for bounded values."""

    @property
    def dtype(self) -> Any:
        """In which errors are held."""

    def constant(self, value: Any) -> Bounded: ...

    def __call__(self, eqn: core.JaxprEqn, inputs: list[Bounded]) -> list[Bounded]: ...


_Step = Callable[[list[Bounded]], list[Bounded]]


def _scan(rule: BoundingRule, eqn: core.JaxprEqn, inputs: list[Bounded]) -> list[Bounded]:
    params, program = eqn.params, eqn.params["jaxpr"]
    consts, carry, rows = _cut(inputs, params["num_consts"], params["num_carry"])

    def turn(carry: list[Bounded], row: list[Bounded]) -> list[Bounded]:
        return evaluate(program, [*consts, *carry, *row], rule, rule.constant)

    rows, count = _like(rows, rows, rule.dtype), len(carry)
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), rows)
    carry = _settled(lambda c: jax.eval_shape(turn, c, first)[:count], carry, rule.dtype)
    names = _unknown(jax.eval_shape(turn, carry, first))

    def body(carry: list[Bounded], row: list[Bounded]) -> tuple[list[Bounded], list[Bounded]]:
        after, shown = _cut(turn(carry, row), count)
        return _like(after, carry, rule.dtype), _like(shown, shown, rule.dtype)

    final, stacked = jax.lax.scan(
        body, carry, rows, params["length"], reverse=params["reverse"], unroll=params["unroll"]
    )
    return [_named(x, names) for x in (*final, *stacked)]


def _while(rule: BoundingRule, eqn: core.JaxprEqn, inputs: list[Bounded]) -> list[Bounded]:
    params = eqn.params
    asked, consts, carry = _cut(inputs, params["cond_nconsts"], params["body_nconsts"])

    def goes_on(carry: list[Bounded]) -> Bounded:
        return evaluate(params["cond_jaxpr"], [*asked, *carry], rule, rule.constant)[0]

    def turn(carry: list[Bounded]) -> list[Bounded]:
        return evaluate(params["body_jaxpr"], [*consts, *carry], rule, rule.constant)

    carry = _settled(lambda c: jax.eval_shape(turn, c), carry, rule.dtype)
    names = _unknown(jax.eval_shape(turn, carry)) | _unknown([jax.eval_shape(goes_on, carry)])

    def body(state: tuple[list[Bounded], Any]) -> tuple[list[Bounded], Any]:
        carry, doubtful = state
        going = goes_on(carry)
        after = _like(turn(carry), carry, rule.dtype)
        if going.value.ndim:  # under vmap, where an example that has finished stays as it is
            after = [_chosen(going.value, x, y) for x, y in zip(after, carry, strict=True)]
        return after, doubtful | going.uncertain

    start = (carry, jnp.zeros(jax.eval_shape(goes_on, carry).value.shape, bool))
    final, doubtful = jax.lax.while_loop(lambda state: goes_on(state[0]).value.any(), body, start)
    end = goes_on(final)
    if end.error is not None:
        final = [_lost(x, doubtful | end.uncertain, rule.dtype) for x in final]
    return [_named(x, names) for x in final]


def _cond(rule: BoundingRule, eqn: core.JaxprEqn, inputs: list[Bounded]) -> list[Bounded]:
    index, *operands = inputs
    branches = eqn.params["branches"]

    def taking(program: core.ClosedJaxpr) -> _Step:
        return lambda operands: evaluate(program, operands, rule, rule.constant)

    results = [jax.eval_shape(taking(program), operands) for program in branches]
    common = results[0]
    for other in results[1:]:
        common = [_joined(x, y) for x, y in zip(common, other, strict=True)]

    def covering(program: core.ClosedJaxpr) -> _Step:
        return lambda operands: _like(taking(program)(operands), common, rule.dtype)

    place = index.value.astype(jnp.int32)
    outputs = jax.lax.switch(place, [covering(program) for program in branches], operands)
    if index.error is not None:
        outputs = [_lost(x, index.uncertain, rule.dtype) for x in outputs]
    names = _unknown(common) | index.unknown
    return [_named(x, names) for x in outputs]


def _cut(inputs: list[Bounded], *sizes: int) -> list[list[Bounded]]:
    parts = []
    for size in sizes:
        parts.append(inputs[:size])
        inputs = inputs[size:]
    return [*parts, inputs]


def _settled(turn: _Step, carry: list[Bounded], dtype: Any) -> list[Bounded]:
    """The carried values with an error wherever a turn of the loop can give them one."""
    while True:
        after = [_joined(x, y) for x, y in zip(carry, turn(carry), strict=True)]
        settled = _like(carry, after, dtype)
        if [(x.error is None, x.unknown) for x in settled] == [
            (x.error is None, x.unknown) for x in carry
        ]:
            return settled
        carry = settled


def _joined(x: Bounded, y: Bounded) -> Bounded:
    """Which has an error if either has."""
    error = x.error if x.error is not None else y.error
    return Bounded(x.value, error, x.unknown | y.unknown)


def _like(values: Sequence[Bounded], others: Sequence[Bounded], dtype: Any) -> list[Bounded]:
    """The values, with errors that are arrays where the others have any."""
    return [
        Bounded(x.value, None if y.error is None else _array(x, dtype), y.unknown)
        for x, y in zip(values, others, strict=True)
    ]


def _array(x: Bounded, dtype: Any) -> Any:
    return jax.lax.convert_element_type(x.bound, dtype)


def _chosen(which: Any, x: Bounded, y: Bounded) -> Bounded:
    """x for the examples of a batch of which this holds, y for others."""
    which = _ahead(which, x.value)
    value = jnp.where(which, x.value, y.value)
    return Bounded(
        value, None if x.error is None else jnp.where(which, x.error, y.error), x.unknown
    )


def _lost(x: Bounded, where: Any, dtype: Any) -> Bounded:
    error = jnp.where(_ahead(where, x.value), jnp.inf, _array(x, dtype))
    return Bounded(x.value, error, x.unknown)


def _ahead(flags: Any, value: Any) -> Any:
    """Flags of the examples in a batch, for each element of the value."""
    return jnp.expand_dims(flags, range(flags.ndim, value.ndim))


def _unknown(values: Sequence[Bounded]) -> frozenset[str]:
    return frozenset().union(*(x.unknown for x in values))


def _named(x: Bounded, names: frozenset[str]) -> Bounded:
    return Bounded(x.value, x.error, x.unknown | names if x.error is not None else frozenset())


# operation -> its results, of the rule that gives each operation inside its meaning
RULES: dict[str, Callable[[BoundingRule, core.JaxprEqn, list[Bounded]], list[Bounded]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
