"""Weights that were loaded in another order: transposed, halves exchanged, heads by turns.

Arrays that ours closes over are held against the reference's by content, without names. Another
order alone is no mistake, since a port may keep its kernels transposed. It is one where the
reference's order makes an output right.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from parity.explain.arrangement import arrangements
from parity.explain.content import close, numbers
from parity.explain.edit import Run, edited
from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Matcher

# How many arrays are tried, each with a run of the program for each way to place it.
_MOST = 12
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Misloaded:
    """An array of ours, the reference's, and ours as it should be."""

    value: Value
    twin: Value
    array: np.ndarray

    @property
    def words(self) -> str:
        how = order_of(numbers(self.value.array), numbers(self.array))
        return f"our {self.value.name} is the reference's {self.twin.name} {how}"


def misloaded(ours: Graph, matcher: Matcher, wrong: Mapping[str, Value]) -> Misloaded | None:
    """The first array that makes a wrong output right where it stands as the reference's does.

    Args:
      wrong: our outputs that are not the reference's, by name.
    """
    suspects = itertools.islice(_suspects(ours, matcher), _MOST)
    for value, twin, array in suspects:
        reading = [node for node in ours.nodes if value in node.inputs]
        made = functools.partial(_reading, value=value, array=array)
        for name, output in wrong.items():
            found = edited(ours.nodes, output, reading, made)
            target = matcher.reference.outputs[name].array
            if found is not None and close(numbers(found), numbers(target)):
                return Misloaded(value, twin, array)
    return None


def _suspects(ours: Graph, matcher: Matcher) -> Iterator[tuple[Value, Value, np.ndarray]]:
    """Arrays with the reference's elements in another order, each as it may have to be."""
    given = {id(value) for value in matcher.reference.given()}
    for value in ours.closed:
        if not 1 < value.array.size <= _LARGEST or not matcher.prints.of(value).telling:
            continue
        own = numbers(value.array)
        for twin in (twin for twin in matcher.twins(value) if id(twin) in given):
            for array in arrangements(twin.array, value.array):
                if not close(numbers(array), own):
                    yield value, twin, np.asarray(array)


def _reading(node: Node, value: Value, array: np.ndarray) -> Run:
    places = [i for i, given in enumerate(node.inputs) if given is value]

    def run(*arrays: Any) -> Any:
        return node.run(*(array if i in places else a for i, a in enumerate(arrays)))

    return run


def order_of(own: np.ndarray, wanted: np.ndarray) -> str:
    """In words, in which order an array has the elements of another one of its shape."""
    if own.ndim == 2 and own.shape[0] == own.shape[1] and close(own.T, wanted):
        return "transposed"
    for axis, length in enumerate(own.shape):
        if close(np.flip(own, axis), wanted):
            return f"reversed along axis {axis}"
        if length % 2 == 0 and close(np.roll(own, length // 2, axis), wanted):
            return f"with halves exchanged along axis {axis}"
        for parts in range(2, length):
            if length % parts == 0 and close(_by_turns(own, axis, parts), wanted):
                return f"with axis {axis} by turns of {parts}, not part after part"
    return "with elements in other places"


def rounded_to(own: np.ndarray, wanted: np.ndarray) -> str:
    """The narrower dtype that an array was rounded to where it is the wanted one; empty if none."""
    for dtype in (jnp.float16, jnp.bfloat16):
        if own.shape == wanted.shape and np.array_equal(
            wanted.astype(dtype).astype(own.dtype), own
        ):
            return jnp.dtype(dtype).name
    return ""


def _by_turns(array: np.ndarray, axis: int, parts: int) -> np.ndarray:
    """Along an axis every so-manieth element together."""
    shape = (*array.shape[:axis], -1, parts, *array.shape[axis + 1 :])
    return np.swapaxes(array.reshape(shape), axis, axis + 1).reshape(array.shape)
