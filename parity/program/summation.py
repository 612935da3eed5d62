"""How much the roundings of n operations add up to.

Sums of n terms are accumulated in float32 at least (XLA's CPU and GPU kernels do so for narrower
inputs), in an order that is the kernel's own. Roundings of such sums behave like independent ones:

    γ(n) = exp(λ √n u + n u² / (1 - u)) - 1

fails with a probability of at most 2n exp(-λ²(1 - u)²/2) (Higham and Mary 2019, Theorem 2.4); λ is
chosen so that over every sum of an array this is at most FAILURE_PROBABILITY. For few operations
the bound that never fails, (1 + u)ⁿ - 1 (Higham 2002, Lemma 3.1), is the smaller one.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

FAILURE_PROBABILITY = 1e-9


def summation_constant(terms: int, sums: int, unit: float) -> float:
    """γ(n) of the module's text for `sums` sums of `terms` terms each."""
    tail = math.log(2 * max(terms, 1) * max(sums, 1) / FAILURE_PROBABILITY)
    probable = math.sqrt(2 * tail) / (1 - unit)
    grown = probable * math.sqrt(terms) * unit + terms * unit**2 / (1 - unit)
    return math.expm1(grown)


def chain_constant(steps: int, results: int, unit: float) -> float:
    """Relative error of `steps` operations one after the other: the smaller of the two bounds."""
    return min(math.expm1(steps * math.log1p(unit)), summation_constant(steps, results, unit))


def chain_constants(steps: Any, unit: float) -> Any:
    """chain_constant for an array of numbers of steps, one for each of its elements."""
    tail = jnp.log(2 * jnp.maximum(steps, 1) * max(steps.size, 1) / FAILURE_PROBABILITY)
    grown = jnp.sqrt(2 * tail * steps) / (1 - unit) * unit + steps * unit**2 / (1 - unit)
    return jnp.expm1(jnp.minimum(grown, steps * math.log1p(unit)))


def tree_depth(terms: int) -> int:
    """Additions between an element and a prefix sum of up to `terms` elements, made as a tree."""
    return 2 * math.ceil(math.log2(max(terms, 2)))
