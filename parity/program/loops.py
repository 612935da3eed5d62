"""A tapped function whose taps inside loops, branches and transformations yield frames.

    def layers(x, weights, *, tap):
        def layer(x, w):
            return tap("layers.mlp", jnp.tanh(x @ w)), None
        return jax.lax.scan(layer, x, weights)[0]

    record_trace(layers, x, weights)            # frames layers[0].mlp, layers[1].mlp, …

While a function is traced, a tap inside a loop's body is met once, and its value can't leave the
body. `hoisted` traces the function with taps that stay in the program, and evaluates the program so
that loops return what was tapped in them; the tap that it is given is then called for each frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.errors import RequestError
from parity.program.control import REWRITTEN
from parity.program.evaluation import Body
from parity.program.frames import Key, Loop, Part, Point, Route, numbers, sliced, visited
from parity.program.plan import Given, Plan
from parity.trace.tap import InjectingTap, Requiring, Tap, TappedFunction, frame_name, mark


def hoisted(fn: TappedFunction, route: Route | None = None) -> TappedFunction:
    """`fn` with its taps called where a value is known: after its loops, frame by frame.

    The function returned takes what `fn` takes. Its tap is called in execution order, once for each
    tap outside of loops and once per iteration for each tap in one, under `frame_name`. In a scan
    the index is that into its `xs`, also where it runs in reverse; in a `fori_loop` it counts from
    0 whatever the loop counts from. Under `vmap` a frame has the mapped axis in front. Where
    `jax.grad` computes a tap's value a second time, as under `jax.checkpoint`, that isn't shown.

    What the tap returns is passed on, in the dtype of what it was given. In loops that holds for
    InjectingTap alone: frames that it has values for are injected in the loop, iteration by
    iteration.

    Args:
      route: from `route_of`, for a function that has taps in a while loop, in a `fori_loop` whose
        bounds are traced, or in a conditional. It is of one run. A run that takes another raises
        LedgerError where it is recorded. Elsewhere, an iteration that it hasn't got is NaN.

    Raises (when traced):
      RequestError: a tap is inside an operation that it can't be taken out of, or needs a route.
    """

    def hoisted_fn(*args: Any, tap: Tap) -> Any:
        program, shape = traced(fn, args)
        top = _Top(Plan(route or Route()), tap)
        outputs = top.evaluate(program, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return hoisted_fn


def traced(fn: TappedFunction, args: Sequence[Any]) -> tuple[core.ClosedJaxpr, Any]:
    """The program of `fn(*args, tap=mark)`, and its output's structure."""
    return jax.make_jaxpr(lambda *args: fn(*args, tap=mark), return_shape=True)(*args)


def route_of(
    fn: TappedFunction, *args: Any, compiler_options: Mapping[str, Any] | None = None
) -> Route:
    """Which way `fn(*args)` goes through its loops and branches that hold taps.

    Runs the function once for each level of while loops that are inside of one another; a function
    that needs no route is only traced.
    """
    route = Route()
    while True:

        def passed(*args: Any, route: Route = route) -> dict[Key, Any]:
            body = Body(Plan(route, partial=True))
            body.evaluate(traced(fn, args)[0], jax.tree.leaves(args))
            return numbers(body.parts)

        if jax.eval_shape(passed, *args).keys() == route.numbers.keys():
            return route
        found = jax.jit(passed, compiler_options=dict(compiler_options or {}))(*args)
        route = Route({key: np.asarray(value) for key, value in found.items()})


class _Top(Body):
    """The outermost body, where values are known and taps are called."""

    def __init__(self, plan: Plan, tap: Tap) -> None:
        super().__init__(plan)
        self._tap = tap

    def _tapped(self, name: str, value: jax.Array) -> jax.Array:
        self.place()
        passed = self._tap(name, value)
        return value if passed is value else _fitted(name, passed, value)

    def _rewritten(self, eqn: core.JaxprEqn, inputs: list[Any]) -> Sequence[Any]:
        plan, key, rewritten = self.plan, self.place(), REWRITTEN[eqn.primitive.name]
        if isinstance(self._tap, InjectingTap):
            part = jax.eval_shape(lambda: rewritten(eqn, inputs, key, Body(plan))[1])
            plan = dataclasses.replace(plan, given=_given(part, plan, self._tap.values))
        outputs, part = rewritten(eqn, inputs, key, Body(plan))
        self._deliver(part)
        return outputs

    def _deliver(self, part: Part) -> None:
        """Call the tap for each frame that a loop or conditional yields."""
        route, tap = self.plan.route or Route(), self._tap
        as_expected: list[jax.Array] = []
        for node, indices in visited([part], route):
            if isinstance(node, Point):
                name, value = frame_name(node.name, indices), sliced(node.value, indices)
                if tap(name, value) is not value and not isinstance(tap, InjectingTap):
                    raise RequestError(
                        f"tap {name!r} is inside a loop or branch, where another value can be put "
                        "in its place by InjectingTap only"
                    )
                continue
            number = node.trips if isinstance(node, Loop) else node.taken
            if number is not None:
                as_expected.append(sliced(number, indices) == route.at(node.key, indices))
        if as_expected and isinstance(tap, Requiring):
            tap.require(
                jnp.stack(as_expected).all(),
                "a loop or conditional that holds taps took another way than in the run that its "
                "route is of; take the route of this run, route_of(fn, *args)",
            )


def _given(part: Part, plan: Plan, values: Mapping[str, jax.Array]) -> dict[Key, Given]:
    """The frames of a loop or conditional that there are values for, stacked by tap."""
    found: dict[Key, dict[tuple[int, ...], jax.Array]] = {}
    like: dict[Key, jax.ShapeDtypeStruct] = {}
    for node, indices in visited([part], plan.route or Route()):
        if isinstance(node, Point) and (name := frame_name(node.name, indices)) in values:
            shape = node.value.shape[len(indices) :]
            if values[name].shape != shape:
                continue
            one = jax.ShapeDtypeStruct(shape, node.value.dtype)
            found.setdefault(node.key, {})[indices] = _fitted(name, values[name], one)
            like[node.key] = node.value
    given = {}
    for key, frames in found.items():
        loops = like[key].shape[: len(next(iter(frames)))]
        absent = jnp.zeros_like(next(iter(frames.values())))
        stacked = [frames.get(indices, absent) for indices in np.ndindex(*loops)]
        present = np.array([indices in frames for indices in np.ndindex(*loops)])
        given[key] = Given(jnp.stack(stacked).reshape(like[key].shape), present.reshape(loops))
    return given


def _fitted(name: str, value: jax.Array, like: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
    """A value to pass on in a tap's place, in the dtype that the program goes on with."""
    if value.shape != like.shape:
        raise RequestError(
            f"tap {name!r} has shape {like.shape} and is given a value of shape {value.shape}; "
            "inject values of this function's own shapes"
        )
    return jax.lax.convert_element_type(value, like.dtype)
