"""What is written, added or multiplied into an array at given indices.

Where h updates meet in one element they are taken one after the other, each rounded to the result's
dtype, in an order that is the kernel's own. Which of two values that are written to one element
stays is taken to be the same in two programs. At indices that may be others nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from parity.program.bounded import Operation, between, finite_size
from parity.program.summation import chain_constants


def _written(op: Operation) -> Any:
    return op.on(op.bounds[0], op.inputs[1].value, op.bounds[2])


def _added(op: Operation) -> Any:
    (x, _, updates), (error, _, own) = op.reals, op.bounds
    rounded = _roundings(op) * _sum(op, jnp.abs(x), jnp.abs(updates))
    return _sum(op, error, own) + rounded


def _multiplied(op: Operation) -> Any:
    (x, _, updates), (error, _, own) = op.reals, op.bounds
    size, factors, indices = jnp.abs(x), jnp.abs(updates), op.inputs[1].value
    moved = op.on(size + error, indices, factors + own) - op.on(size, indices, factors)
    return moved + _roundings(op) * finite_size(op.value) + op.rounding


def _extreme(op: Operation) -> Any:
    """It never decreases as an element or an update grows."""
    (x, _, updates), (error, _, own), indices = op.reals, op.bounds, op.inputs[1].value
    low = op.on(x - error, indices, updates - own)
    high = op.on(x + error, indices, updates + own)
    return between(op.value.astype(op.wide), low, high)


def _roundings(op: Operation) -> Any:
    x, _, updates = op.reals
    return chain_constants(_sum(op, jnp.zeros_like(x), jnp.ones_like(updates)), op.unit)


def _sum(op: Operation, x: Any, updates: Any) -> Any:
    return jax.lax.scatter_add(
        x,
        op.inputs[1].value,
        updates,
        dimension_numbers=op.params["dimension_numbers"],
        indices_are_sorted=op.params["indices_are_sorted"],
        unique_indices=op.params["unique_indices"],
        mode=op.params["mode"],
    )


_RULES: dict[str, Callable[[Operation], Any]] = {
    "scatter": _written,
    "scatter-add": _added,
    "scatter-sub": _added,
    "scatter-mul": _multiplied,
    "scatter-min": _extreme,
    "scatter-max": _extreme,
}


def _guarded(rule: Callable[[Operation], Any]) -> Callable[[Operation], Any]:
    def guarded(op: Operation) -> Any:
        error = rule(op)
        moved = op.inputs[1]
        return error if moved.error is None else jnp.where(jnp.any(moved.uncertain), jnp.inf, error)

    return guarded


RULES = {name: _guarded(rule) for name, rule in _RULES.items()}
EXACT = frozenset(("scatter", "scatter-min", "scatter-max"))
