"""Tables that were rounded to float32 while a program was traced, such as RoPE's frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from parity.explain.content import close_sorted, numbers
from parity.explain.graph import Graph, Value
from parity.explain.slices import from_inputs

# An angle of some radians in float32 moves its cosine by several units of it.
_ROUNDED = 1e-6
_LARGEST = 1 << 14
# Elements of a table that are told by more than so many digits, before chance is ruled out.
_DIGITS = 4
_ENOUGH = 8


def take_rounded(ours: Graph, reference: Graph) -> None:
    """Take the reference's tables where ours differ by a rounding of float32, lest it spread."""
    theirs = _tables(reference)
    ordered = [np.sort(numbers(v.array), axis=None) for v in theirs]
    elements = _elements(ordered)
    for value in _tables(ours):
        flat = numbers(value.array).reshape(-1)
        places = np.argsort(flat, kind="stable")
        own = flat[places]
        near = (_taken(own, other) for other in ordered)
        taken = next((other for other in near if other is not None), None)
        if taken is None:
            if any(own.size == other.size and close_sorted(own, other) for other in ordered):
                continue
            taken = _one_by_one(own, elements)
        if taken is not None:
            moved = np.empty_like(flat)
            moved[places] = taken
            ours.substitute(value, jax.numpy.asarray(moved.reshape(value.array.shape)))


def _taken(own: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """The other's elements in the place of our sorted ones, if but a rounding is between them."""
    taken = _as_often(other, own.size)
    if taken is None or close_sorted(own, taken) or not close_sorted(own, taken, _ROUNDED):
        return None
    return taken


def _elements(ordered: Sequence[np.ndarray]) -> np.ndarray:
    """What occurs in any of these, with either sign, sorted."""
    each = [np.abs(other) for other in ordered if other.size <= _LARGEST]
    found = np.unique(np.concatenate(each)) if each else np.zeros(0)
    return np.concatenate([-found[::-1], found])


def _one_by_one(own: np.ndarray, elements: np.ndarray) -> np.ndarray | None:
    """The nearest of these for each element, as in a matrix of cosines and sines together.

    None unless each has one within a rounding, and enough of them are no round numbers.
    """
    if not elements.size or own.size > _LARGEST:
        return None
    right = np.clip(np.searchsorted(elements, own), 1, elements.size - 1)
    left, right = elements[right - 1], elements[right]
    with np.errstate(invalid="ignore"):  # of infinities
        nearest = np.where(np.abs(left - own) < np.abs(right - own), left, right)
        near = np.abs(nearest - own) <= _ROUNDED * np.abs(own)
    if not (near | (nearest == own)).all():
        return None
    rough = own[np.round(own, _DIGITS) != own]
    return nearest if np.unique(rough).size >= _ENOUGH and (nearest != own).any() else None


def _as_often(ordered: np.ndarray, size: int) -> np.ndarray | None:
    """Sorted elements, each repeated or taken as often as makes them this many."""
    if size % ordered.size == 0:
        return np.repeat(ordered, size // ordered.size)
    if ordered.size % size == 0:
        return ordered[:: ordered.size // size]
    return None


def is_rounded(array: Any) -> bool:
    """All elements are ones of float32, and some of them no round numbers."""
    flat = numbers(array).reshape(-1)
    with np.errstate(over="ignore"):
        single = (flat.astype(np.float32).astype(np.float64) == flat) | np.isnan(flat)
    return flat.size > 1 and bool(single.all()) and bool((np.round(flat, _DIGITS) != flat).any())


def _tables(graph: Graph) -> list[Value]:
    """Floats that are made of constants, or of arrays closed over."""
    data = from_inputs(graph)
    made = [v for n in graph.nodes for v in n.outputs if id(v) not in data]
    return [
        v
        for v in [*graph.closed, *made]
        if v.array.dtype == np.float64 and 1 < v.array.size <= 1 << 16
    ]
