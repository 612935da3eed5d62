"""Comparisons, logic, and choices that depend on them.

A comparison of inexact values may come out otherwise where they lie within their errors of each
other. A boolean that may be the other one has an error of 1, and a choice that it makes has one
that covers every case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from parity.program.bounded import Operation, any_uncertain, gap
from parity.program.jaxprs import dtype_of


def _compare(op: Operation) -> Any:
    left, right = op.eqn.invars
    if left is right:  # how programs ask for NaN
        return None
    (a, b), (error_a, error_b) = op.reals, op.bounds
    reach = error_a + error_b
    # Neither NaN nor an infinite error is a certain distance.
    return (~(jnp.abs(a - b) > reach) & ~(reach == 0)).astype(op.wide)


def _logic(op: Operation) -> Any:
    """Of and, or, and their reductions: they never turn false as an input turns true."""
    if not jnp.issubdtype(dtype_of(op.eqn.outvars[0]), jnp.bool_):
        return _any_change(op)
    values, uncertain = [x.value for x in op.inputs], [x.uncertain for x in op.inputs]
    low = op.on(*(x & ~u for x, u in zip(values, uncertain, strict=True)))
    high = op.on(*(x | u for x, u in zip(values, uncertain, strict=True)))
    return (low != high).astype(op.wide)


def _either(op: Operation) -> Any:
    if not jnp.issubdtype(dtype_of(op.eqn.outvars[0]), jnp.bool_):
        return _any_change(op)
    a, b = op.inputs
    return (a.uncertain | b.uncertain).astype(op.wide)


def _any_of(op: Operation) -> Any:
    (x,) = op.inputs
    return jnp.any(x.uncertain, op.params["axes"]).astype(op.wide)


def _not(op: Operation) -> Any:
    if jnp.issubdtype(dtype_of(op.eqn.outvars[0]), jnp.bool_):
        return op.inputs[0].error
    return _any_change(op)


def _any_change(op: Operation) -> Any:
    """Of the bits of integers: infinite as soon as an element of an input may be another."""
    return jnp.where(any_uncertain(op.inputs), jnp.inf, jnp.zeros(op.value.shape, op.wide))


def _select(op: Operation) -> Any:
    which, *cases = op.inputs
    moved = op.on(which.value, *op.bounds[1:])
    if which.error is None:
        return moved
    covering = jnp.zeros_like(moved)
    for case, bound in zip(cases, op.bounds[1:], strict=True):
        covering = jnp.maximum(covering, gap(case.value, op.value) + bound)
    return jnp.where(which.uncertain, covering, moved)


RULES: dict[str, Callable[[Operation], Any]] = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "eq_to", "lt_to", "le_to"), _compare),
    **dict.fromkeys(("and", "or", "reduce_and", "reduce_or"), _logic),
    "xor": _either,
    "reduce_xor": _any_of,
    "not": _not,
    "is_finite": lambda _: None,
    "select_n": _select,
}
EXACT = frozenset(RULES)
COMPLEX = frozenset(("select_n",))
