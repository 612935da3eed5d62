"""Tables that were rounded to float32 while a program was traced, such as RoPE's frequencies."""

from __future__ import annotations

import jax
import numpy as np

from parity.explain.content import ROUNDED, close_sorted, numbers
from parity.explain.graph import Graph, Value
from parity.explain.slices import from_data


def take_rounded(ours: Graph, reference: Graph) -> None:
    """Take the reference's tables where ours differ by a rounding of float32, lest it spread."""
    theirs = _tables(reference)
    ordered = [np.sort(numbers(v.array), axis=None) for v in theirs]
    for value in _tables(ours):
        flat = numbers(value.array).reshape(-1)
        places = np.argsort(flat, kind="stable")
        own = flat[places]
        for other in ordered:
            taken = _as_often(other, own.size)
            if taken is None or close_sorted(own, taken) or not close_sorted(own, taken, ROUNDED):
                continue
            moved = np.empty_like(flat)
            moved[places] = taken
            ours.substitute(value, jax.numpy.asarray(moved.reshape(value.array.shape)))
            break


def _as_often(ordered: np.ndarray, size: int) -> np.ndarray | None:
    """Sorted elements, each repeated or taken as often as makes them this many."""
    if size % ordered.size == 0:
        return np.repeat(ordered, size // ordered.size)
    if ordered.size % size == 0:
        return ordered[:: ordered.size // size]
    return None


def _tables(graph: Graph) -> list[Value]:
    """Floats that are made of constants, or closed over."""
    data = from_data(graph)
    made = [v for n in graph.nodes for v in n.outputs if id(v) not in data]
    return [
        v
        for v in [*graph.closed, *made]
        if v.array.dtype == np.float64 and 1 < v.array.size <= 1 << 16
    ]
