"""A traced program evaluated again, its taps taken out of calls, loops and branches.

Operations that hold no tap are bound as they are, under the names and source lines that they were
traced with. Those that hold one are entered; parity/program/control.py has loops and branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core, source_info_util

from parity.errors import RequestError
from parity.program import control
from parity.program.frames import Key, Part, Point
from parity.program.jaxprs import called, dtype_of
from parity.program.plan import Given, Index, Plan
from parity.trace.tap import marks_of, tap_p


class Body:
    """Evaluates one body and gathers what is met in it.

    Args:
      key: place of the loop or branch whose body this is.
      indices: where the loops around it stand, outermost first.

    Attributes:
      parts: taps, and loops and conditionals that hold taps, in order.
    """

    def __init__(self, plan: Plan, key: Key = (), indices: tuple[Index, ...] = ()) -> None:
        self.plan = plan
        self.parts: list[Part] = []
        self._key = key
        self._indices = indices
        self._met = 0

    def inside(self, key: Key, *index: Index) -> Body:
        """For the body of a loop, or for a branch, in this body."""
        return Body(self.plan, key, (*self._indices, *index))

    def place(self) -> Key:
        """The key of the next tap, loop or conditional."""
        self._met += 1
        return (*self._key, self._met - 1)

    def evaluate(self, program: core.ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
        """The program's outputs.

        Raises:
          RequestError: a tap is where its value can't be taken out.
        """
        env: dict[core.Var, Any] = {}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else env[atom]

        given = self.plan.constants
        consts = [given.get(id(const), const) for const in program.consts]
        env.update(zip(program.jaxpr.constvars, consts, strict=True))
        env.update(zip(program.jaxpr.invars, args, strict=True))
        for eqn in program.jaxpr.eqns:
            inputs = [read(atom) for atom in eqn.invars]
            outputs = self._entered(eqn, inputs) if self.plan.enters(eqn) else bound(eqn, inputs)
            env.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in program.jaxpr.outvars]

    def _entered(self, eqn: core.JaxprEqn, inputs: list[Any]) -> Sequence[Any]:
        if eqn.primitive is tap_p:
            return [self._tapped(eqn.params["name"], _array(inputs[0], eqn.invars[0]))]
        program, name = called(eqn), eqn.primitive.name
        names = source_info_util.current_name_stack() + eqn.source_info.name_stack
        with source_info_util.set_name_stack(names):
            if program is not None:
                inputs = _placed(inputs, eqn.params.get("in_shardings", ()))
                outputs = self.evaluate(program, inputs)
                return _placed(outputs, eqn.params.get("out_shardings", ()))
            if name in control.REWRITTEN:
                return self._rewritten(eqn, list(map(_array, inputs, eqn.invars)))
        if self.plan.watches(eqn):
            raise RequestError(
                f"tap {next(marks_of(eqn))!r} is inside {name}, where its value can't be taken "
                "out; move the tap out of it"
            )
        return bound(eqn, inputs)

    def _tapped(self, name: str, value: jax.Array) -> jax.Array:
        key = self.place()
        self.parts.append(Point(name, key, value))
        given = self.plan.given.get(key)
        return value if given is None else self._replaced(value, given)

    def _replaced(self, value: jax.Array, given: Given) -> jax.Array:
        chosen, present = given.values, jnp.asarray(given.present)
        for index in self._indices:
            chosen, present = (
                jax.lax.dynamic_index_in_dim(x, index.value, keepdims=False)
                for x in (chosen, present)
            )
        if given.present.all() and all(index.bounded for index in self._indices):
            return chosen
        for index in self._indices:
            present &= index.value < index.length
        return jax.lax.select(jnp.broadcast_to(present, value.shape), chosen, value)

    def _rewritten(self, eqn: core.JaxprEqn, inputs: list[Any]) -> Sequence[Any]:
        outputs, part = control.REWRITTEN[eqn.primitive.name](eqn, inputs, self.place(), self)
        self.parts.append(part)
        return outputs


def bound(eqn: core.JaxprEqn, inputs: Sequence[Any]) -> Sequence[Any]:
    """An operation's outputs, traced as it was."""
    info = eqn.source_info
    names = source_info_util.current_name_stack() + info.name_stack
    params: Any = eqn.primitive.get_bind_params(eqn.params)
    with source_info_util.user_context(info.traceback, name_stack=names), eqn.ctx.manager:
        outputs = eqn.primitive.bind(*inputs, **params)
    return outputs if eqn.primitive.multiple_results else [outputs]


def _array(value: Any, atom: Any) -> Any:
    """An input that isn't a number of Python's, which `jax.lax` would give a dtype of its own."""
    return jnp.asarray(value, dtype_of(atom)) if isinstance(atom, core.Literal) else value


def _placed(values: Sequence[Any], shardings: Sequence[Any]) -> list[Any]:
    """Values where a call that is entered would have put them."""
    if not any(isinstance(place, jax.sharding.Sharding) for place in shardings):
        return list(values)
    return [
        jax.lax.with_sharding_constraint(value, place)
        if isinstance(place, jax.sharding.Sharding)
        else value
        for value, place in zip(values, shardings, strict=True)
    ]
