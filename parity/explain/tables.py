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
            if own.size < other.size or own.size % other.size:
                continue
            if close_sorted(own, other, ROUNDED) and not close_sorted(own, other):
                taken = np.empty_like(flat)
                taken[places] = np.repeat(other, own.size // other.size)
                ours.substitute(value, jax.numpy.asarray(taken.reshape(value.array.shape)))
                break


def _tables(graph: Graph) -> list[Value]:
    """Floats that are made of constants, or closed over."""
    data = from_data(graph)
    made = [v for n in graph.nodes for v in n.outputs if id(v) not in data]
    return [
        v
        for v in [*graph.closed, *made]
        if v.array.dtype == np.float64 and 1 < v.array.size <= 1 << 16
    ]
