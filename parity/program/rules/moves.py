"""What only moves values: errors move as the values do.

What is read at an index that may be another one is some element that another index could reach.
Nothing is known of an array that is written at such an index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from parity.program.bounded import Operation, any_uncertain, between
from parity.trace.tap import tap_p

_MOVES = (
    *("broadcast_in_dim", "reshape", "transpose", "squeeze", "expand_dims", "slice", "rev", "pad"),
    *("concatenate", "split", "stack", "unstack", "tile", "copy", "stop_gradient", "name"),
    *("optimization_barrier", "device_put", "sharding_constraint", "reshard", tap_p.name),
)


def _moved(op: Operation) -> Any:
    found = op.again(op.bounds)
    return found if op.eqn.primitive.multiple_results else found[0]


def _gather(op: Operation) -> Any:
    indices = op.inputs[1]
    numbers = op.params["dimension_numbers"]
    # What lies outside is filled with a constant, which is exact.
    exactly_filled = {**op.params, "fill_value": 0}

    def read(x: Any) -> Any:
        return op.eqn.primitive.bind(x, indices.value, **exactly_filled)

    error = read(op.bounds[0])
    if indices.error is None:
        return error
    batch = [d for d in range(op.value.ndim) if d not in numbers.offset_dims]
    moving = jnp.any(indices.uncertain, -1)
    moving = jnp.expand_dims(moving, [d for d in range(op.value.ndim) if d not in batch])
    return jnp.where(moving, _anywhere(op, numbers.start_index_map, read), error)


def _dynamic_slice(op: Operation) -> Any:
    starts = op.inputs[1:]

    def read(x: Any) -> Any:
        return op.on(x, *(start.value for start in starts))

    error = read(op.bounds[0])
    if all(start.error is None for start in starts):
        return error
    shape, sizes = op.inputs[0].value.shape, op.params["slice_sizes"]
    axes = [axis for axis, size in enumerate(sizes) if size < shape[axis]]
    return jnp.where(any_uncertain(starts), _anywhere(op, axes, read), error)


def _dynamic_update_slice(op: Operation) -> Any:
    starts = op.inputs[2:]
    error = op.on(*op.bounds[:2], *(start.value for start in starts))
    return jnp.where(any_uncertain(starts), jnp.inf, error)


def _anywhere(op: Operation, axes: Sequence[int], read: Callable[[Any], Any]) -> Any:
    """How far what is read may lie from what is read elsewhere along these axes."""
    x, error = op.reals[0], op.bounds[0]
    low, high = (x - error).min(axes, keepdims=True), (x + error).max(axes, keepdims=True)
    low, high = (read(jnp.broadcast_to(end, x.shape)) for end in (low, high))
    return between(op.value.astype(op.wide), low, high)


RULES: dict[str, Callable[[Operation], Any]] = {
    **dict.fromkeys(_MOVES, _moved),
    "gather": _gather,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
}
EXACT = frozenset(RULES)
# Their errors are real arrays, which move alike.
COMPLEX = EXACT - {"gather", "dynamic_slice"}
