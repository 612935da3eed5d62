"""Loops and conditionals made anew, so that they also return what is tapped inside of them.

A scan has more outputs, a while loop carries a buffer for each tap, and each branch of a
conditional returns the taps of all. Each function takes an operation, its inputs, its place and the
body that it stands in; it returns the operation's outputs and what was tapped inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.extend import core

from parity.errors import RequestError
from parity.program.frames import Choice, Key, Loop, Part
from parity.program.plan import Index
from parity.trace.tap import marks, marks_of

if TYPE_CHECKING:
    from parity.program.evaluation import Body


def _scan(
    eqn: core.JaxprEqn, inputs: Sequence[Any], key: Key, body: Body
) -> tuple[list[Any], Part]:
    params = eqn.params
    length, constants, carried = params["length"], params["num_consts"], params["num_carry"]
    consts, init, xs = _split(inputs, constants, carried)

    def step(carry: list[Any], x: tuple[Any, list[Any]]) -> tuple[list[Any], Any]:
        number, own = x
        inner = body.inside(key, Index(number, length, bounded=True))
        outputs = inner.evaluate(params["jaxpr"], [*consts, *carry, *own])
        return outputs[:carried], (outputs[carried:], tuple(inner.parts))

    # Only what is given is looked up by number.
    numbers = jnp.arange(length, dtype=jnp.int32) if body.plan.given else None
    final, (ys, parts) = jax.lax.scan(
        step,
        init,
        (numbers, xs),
        length=length,
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    return [*final, *ys], Loop(key, length, params["reverse"], None, parts)


def _while(
    eqn: core.JaxprEqn, inputs: Sequence[Any], key: Key, body: Body
) -> tuple[list[Any], Part]:
    params = eqn.params
    for name in marks(params["cond_jaxpr"].jaxpr):
        raise RequestError(
            f"tap {name!r} is in the condition of a while loop, which runs once more than the "
            "loop; move the tap into the loop's body"
        )
    limits, consts, init = _split(inputs, params["cond_nconsts"], params["body_nconsts"])
    length = _known_trips(eqn, body, key)

    def goes_on(carry: list[Any]) -> Any:
        (answer,) = body.inside(key).evaluate(params["cond_jaxpr"], [*limits, *carry])
        return answer

    def unfinished(state: tuple[Any, list[Any], Any]) -> Any:
        return goes_on(state[1]).any()

    def step(number: Any, carry: list[Any]) -> tuple[list[Any], tuple[Part, ...]]:
        inner = body.inside(key, Index(number, length or 0, bounded=False))
        outputs = inner.evaluate(params["body_jaxpr"], [*consts, *carry])
        return outputs, () if length is None else tuple(inner.parts)

    def following(state: tuple[Any, list[Any], Any]) -> tuple[Any, list[Any], Any]:
        number, carry, kept = state
        outputs, parts = step(number, carry)
        if params["cond_jaxpr"].out_avals[0].shape:
            # Under vmap. An example that has finished stays as it is.
            answer = goes_on(carry)
            axes = range(answer.ndim)
            outputs = [
                jax.lax.select(jax.lax.broadcast_in_dim(answer, new.shape, axes), new, old)
                for new, old in zip(outputs, carry, strict=True)
            ]
        # One slot more than there are frames takes what isn't asked for.
        slot = jnp.minimum(number, 0 if length is None else length)
        kept = jax.tree.map(
            lambda buffer, value: jax.lax.dynamic_update_index_in_dim(buffer, value, slot, 0),
            kept,
            parts,
        )
        return number + 1, outputs, kept

    start = jnp.int32(0)
    _, shapes = jax.eval_shape(lambda: step(start, init))
    kept = jax.tree.map(lambda x: _nothing((1 + (length or 0), *x.shape), x.dtype), shapes)
    trips, final, kept = jax.lax.while_loop(unfinished, following, (start, init, kept))
    parts = jax.tree.map(lambda buffer: buffer[:length], kept)
    return list(final), Loop(key, length or 0, False, trips, parts)


def _known_trips(eqn: core.JaxprEqn, body: Body, key: Key) -> int | None:
    """The most iterations that this loop has in the run; None while that is found out."""
    plan = body.plan
    if plan.route is not None and key in plan.route.numbers:
        return int(plan.route.numbers[key].max(initial=0))
    if plan.partial or plan.route is None:
        return None
    raise _unknown(eqn, "how many iterations a while loop has")


def _cond(
    eqn: core.JaxprEqn, inputs: Sequence[Any], key: Key, body: Body
) -> tuple[list[Any], Part]:
    index, *operands = inputs
    programs = eqn.params["branches"]
    plan = body.plan
    if plan.route is not None and not plan.partial and key not in plan.route.numbers:
        raise _unknown(eqn, "which branch a conditional takes")

    def branch(number: int) -> tuple[list[Any], tuple[Part, ...]]:
        inner = body.inside((*key, number))
        return inner.evaluate(programs[number], operands), tuple(inner.parts)

    shapes = [jax.eval_shape(lambda n=n: branch(n))[1] for n in range(len(programs))]
    nothing = jax.tree.map(lambda x: _nothing(x.shape, x.dtype), shapes)

    def one(number: int) -> tuple[list[Any], list[Any]]:
        outputs, parts = branch(number)
        return outputs, [*nothing[:number], parts, *nothing[number + 1 :]]

    branches = [lambda n=n: one(n) for n in range(len(programs))]
    outputs, parts = jax.lax.switch(index, branches)
    return list(outputs), Choice(key, index, tuple(parts))


def _unknown(eqn: core.JaxprEqn, what: str) -> RequestError:
    return RequestError(
        f"tap {next(marks_of(eqn))!r}: only a run can tell {what}; "
        "take its route with route_of(fn, *args), then hoisted(fn, route)"
    )


def _nothing(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Stands where no value was made: NaN, or zero in a dtype that has none."""
    return jnp.full(shape, jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0, dtype)


def _split(
    values: Sequence[Any], first: int, second: int
) -> tuple[list[Any], list[Any], list[Any]]:
    middle = first + second
    return list(values[:first]), list(values[first:middle]), list(values[middle:])


Rewriting = Callable[[core.JaxprEqn, Sequence[Any], Key, Any], tuple[list[Any], Part]]

REWRITTEN: dict[str, Rewriting] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
