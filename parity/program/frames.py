"""What loops and branches yield of their taps, and the frames of a run in execution order.

A loop returns what its body tapped with one more axis in front, a conditional what each of its
branches tapped. Both are pytrees, so that `jax.lax` stacks and carries them like any other value.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

# A place in a program: ordinals of the taps, and of the loops and conditionals that hold taps, from
# the outermost body inwards. Another dtype of the inputs doesn't change it.
Key = tuple[int, ...]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["value"], meta_fields=["name", "key"]
)
@dataclass(frozen=True)
class Point:
    """A tap's value, with an axis in front for each loop around it, outermost first."""

    name: str
    key: Key
    value: Any


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["trips", "parts"],
    meta_fields=["key", "length", "reverse"],
)
@dataclass(frozen=True)
class Loop:
    """What a loop's body tapped.

    Attributes:
      length: of the axis that this loop puts in front.
      reverse: the last of it is run first.
      trips: how many iterations ran, where only a run can tell; else None.
    """

    key: Key
    length: int
    reverse: bool
    trips: Any
    parts: tuple[Part, ...]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["taken", "branches"], meta_fields=["key"]
)
@dataclass(frozen=True)
class Choice:
    """What each branch of a conditional tapped; only the branch number `taken` has values."""

    key: Key
    taken: Any
    branches: tuple[tuple[Part, ...], ...]


Part = Point | Loop | Choice


@dataclass(frozen=True)
class Route:
    """Which way a run goes through its program.

    Attributes:
      numbers: how many iterations a while loop has, or which branch a conditional takes. An array
        with an axis for each loop around it.
    """

    numbers: Mapping[Key, np.ndarray] = field(default_factory=dict)

    def at(self, key: Key, indices: Sequence[int] = ()) -> int:
        """The number of one loop or conditional, in one iteration of the loops around it."""
        return int(self.numbers[key][tuple(indices)])


def visited(
    parts: Sequence[Part], route: Route, indices: tuple[int, ...] = ()
) -> Iterator[tuple[Part, tuple[int, ...]]]:
    """Parts in the order in which a run comes to them, each with the indices of its loops."""
    for part in parts:
        yield part, indices
        if isinstance(part, Loop):
            trips = part.length if part.trips is None else route.at(part.key, indices)
            steps = range(trips)
            for step in reversed(steps) if part.reverse else steps:
                yield from visited(part.parts, route, (*indices, step))
        elif isinstance(part, Choice):
            yield from visited(part.branches[route.at(part.key, indices)], route, indices)


def numbers(parts: Sequence[Part]) -> dict[Key, Any]:
    """Trips and branches taken, as a run returns them; see Route."""
    found: dict[Key, Any] = {}
    for part in parts:
        if isinstance(part, Loop):
            if part.trips is not None:
                found[part.key] = part.trips
            found |= numbers(part.parts)
        elif isinstance(part, Choice):
            found[part.key] = part.taken
            for branch in part.branches:
                found |= numbers(branch)
    return found


def sliced(value: jax.Array, indices: Sequence[int]) -> jax.Array:
    """The part of a value that the loops of these indices made."""
    if not indices:
        return value
    rest = value.shape[len(indices) :]
    starts = (*indices, *(0 for _ in rest))
    stops = (*(index + 1 for index in indices), *rest)
    return jax.lax.squeeze(jax.lax.slice(value, starts, stops), range(len(indices)))
