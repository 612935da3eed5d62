"""What is chosen by size: extremes, sorted values, the places of the largest.

Extremes and order statistics never decrease as an element grows. With every element x within E(x),
they lie between those of x - E(x) and those of x + E(x).

A place (an index, or whatever is sorted along with the keys) is certain where no element that
could stand before it may stand after it. Exact keys that are equal stand in the order in which they
came, as JAX promises. Where a place is not certain, what stands there may be any element's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from parity.program.bounded import Operation, any_uncertain, between

# Reaching exactly an inexact neighbour is reaching it.
_BEYOND = 1 + 2.0**-20


def _monotone(op: Operation) -> Any:
    """Of an operation whose result never decreases as an element of any input grows."""
    reals, bounds = op.reals, op.bounds
    low = op.on(*(x - e for x, e in zip(reals, bounds, strict=True)))
    high = op.on(*(x + e for x, e in zip(reals, bounds, strict=True)))
    return between(op.value, low, high)


def _certain(keys: Any, errors: Any, axis: int, *, ties: Any) -> Any:
    """Which of the keys, in ascending order along `axis`, can stand nowhere else.

    Args:
      ties: equal exact keys are in a certain order.
    """
    reach = errors * _BEYOND
    low, high = keys - reach, keys + reach
    before = _shifted(jax.lax.cummax(high, axis=axis), axis, -jnp.inf, after=False)
    after = _shifted(jax.lax.cummin(low, axis=axis, reverse=True), axis, jnp.inf, after=True)
    apart = (before < low) & (after > high)
    return apart | (ties & (before <= low) & (after >= high))


def _shifted(x: Any, axis: int, fill: float, *, after: bool) -> Any:
    """Each element's neighbour along the axis, the one before or the one after."""
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (-1, 1, 0) if after else (1, -1, 0)
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), pads)


def _sort(op: Operation) -> Sequence[Any]:
    axis, count = op.params["dimension"], op.params["num_keys"]
    stable = op.params["is_stable"]
    reals, bounds = op.reals, op.bounds
    sort = [*(x.value for x in op.inputs), *bounds]
    moved = jax.lax.sort(sort, dimension=axis, is_stable=stable, num_keys=count)[len(reals) :]
    if all(x.error is None for x in op.inputs[:count]):
        return moved
    # Equal first keys are told apart by the others.
    ties = jnp.asarray(stable) & ~any_uncertain(op.inputs[1:count])
    keys = op.values[0].astype(op.wide)
    certain = _certain(keys, moved[0], axis, ties=ties)
    errors = []
    for index, (x, e) in enumerate(zip(reals, bounds, strict=True)):
        if index == 0:
            low, high = (jnp.sort(end, axis=axis) for end in (x - e, x + e))
            errors.append(between(keys, low, high))
            continue
        low, high = (x - e).min(axis, keepdims=True), (x + e).max(axis, keepdims=True)
        any_other = between(op.values[index].astype(op.wide), low, high)
        errors.append(jnp.where(certain, moved[index], any_other))
    return errors


def _largest(op: Operation) -> Sequence[Any]:
    """Of lax.top_k: the values, and the places where they were."""
    (x,), (e,) = op.reals, op.bounds
    count, axis = op.params["k"], op.params["axis"]
    low, high = (op.on(end) for end in (x - e, x + e))
    keys, errors = jax.lax.sort((-x, e), dimension=axis, num_keys=1)
    certain = _certain(keys, errors, axis, ties=jnp.asarray(True))
    certain = jax.lax.slice_in_dim(certain, 0, count, axis=axis)
    places = op.values[1].astype(op.wide)
    any_other = jnp.maximum(places, x.shape[axis] - 1 - places)
    return [between(op.values[0].astype(op.wide), low, high), jnp.where(certain, 0, any_other)]


def _place(sign: int, op: Operation) -> Any:
    """Of the largest (sign 1) or the smallest (-1), the first of equal ones."""
    ((x,), (e,)), axis = (op.reals, op.bounds), op.params["axes"][0]
    x = sign * x
    best = (x - e).max(axis, keepdims=True)
    candidate = ~(x + e < best)  # NaN is no certain distance
    places = jax.lax.broadcasted_iota(op.wide, x.shape, axis)
    first = jnp.where(candidate, places, jnp.inf).min(axis)
    last = jnp.where(candidate, places, -jnp.inf).max(axis)
    found = op.value.astype(op.wide)
    reach = jnp.maximum(jnp.maximum(last - found, found - first), 0)
    return jnp.where(jnp.all(~candidate | (e == 0), axis), 0, reach)


_MONOTONE = (
    *("max", "min", "clamp", "reduce_max", "reduce_min", "cummax", "cummin"),
    *("reduce_window_max", "reduce_window_min"),
)

RULES: dict[str, Callable[[Operation], Any]] = {
    "sort": _sort,
    "top_k": _largest,
    "argmax": lambda op: _place(1, op),
    "argmin": lambda op: _place(-1, op),
    **dict.fromkeys(_MONOTONE, _monotone),
}
EXACT = frozenset(RULES)
