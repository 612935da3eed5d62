"""Values that an operation might read: those of one text together, as in the turns of a loop."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Matcher
from parity.explain.slices import Slice

# What may combine two values; what undoes an operation belongs to it, since one program multiplies
# where another divides.
COMBINING = ("add", "sub", "mul", "div")
_RELATED = {
    "add": ("add", "sub"),
    "add_any": ("add", "sub"),
    "sub": ("sub", "add"),
    "mul": ("mul", "div"),
    "div": ("div", "mul"),
}
_MOST_WAYS = 3
# How many values made near an operation are tried before those farther off.
_RING = 8
_MOST_AXES = 5


@dataclass(frozen=True, eq=False)
class Operand:
    """Values that one text makes, of which an operation is given the last one before it.

    Attributes:
      values: in execution order.
      own: they are ours; else the reference's.
    """

    values: tuple[Value, ...]
    own: bool
    _ways: dict[Any, list[np.ndarray]] = field(default_factory=dict)

    def fitted(self, value: Value, shape: tuple[int, ...]) -> list[np.ndarray]:
        """One of the values in shapes that broadcast to this one."""
        key = id(value), shape
        if key not in self._ways:
            self._ways[key] = fitted(value.array, shape)
        return self._ways[key]

    def at(self, node: Node) -> Value | None:
        if not self.own:
            return self.values[0]
        before = [v for v in self.values if v.node is None or v.node.index < node.index]
        return before[-1] if before else None

    @property
    def words(self) -> str:
        value = self.values[0]
        if value.node is None:
            return value.name or "a constant"
        whose = "the" if self.own else "the reference's"
        at = f"line {value.node.where.line}" if self.own else f"{value.node.where}"
        return f"{whose} {value.node.operation} at {at}"


class Operands:
    """Which values may be combined with one of ours, and how.

    Args:
      known: ids of our values that the reference has.
      theirs: what the reference makes its outputs by, of values that ours hasn't.
      data: ids of our values that depend on what the function is given.

    Attributes:
      nodes: all operations of ours.
      scalars: single numbers that the reference uses on that way.
    """

    def __init__(
        self, ours: Graph, matcher: Matcher, known: set[int], theirs: Slice, data: set[int]
    ) -> None:
        self._data = data
        self.nodes = ours.nodes
        families: dict[Any, list[Value]] = {}
        for value in ours.given():
            families[id(value)] = [value]
        for node in ours.nodes:
            for place, value in enumerate(node.outputs):
                # A mask or a count is of use whether or not the reference has one like it.
                if id(value) in known or value.array.dtype.kind in "biu":
                    text = (node.where.place, node.operation, node.slot, place)
                    families.setdefault(text, []).append(value)
        own = [Operand(tuple(values), True) for values in families.values()]
        contents = {
            matcher.prints.of(v).content: operand for operand in own for v in operand.values
        }
        self._used: dict[tuple[int, str], tuple[Operand, str]] = {}
        for node in theirs.nodes:
            for value in node.inputs if node.operation in _RELATED else ():
                if value.constant:
                    continue
                operand = contents.get(matcher.prints.of(value).content) or Operand((value,), False)
                key = id(operand) if operand.own else id(value)
                for operation in _RELATED[node.operation]:
                    self._used.setdefault((key, operation), (operand, operation))
        self._all = own
        self._family = {id(v): operand for operand in own for v in operand.values}
        self.scalars = [
            float(np.asarray(v.array).reshape(()))
            for node in theirs.nodes
            for v in node.inputs
            if v.constant and v.array.size == 1 and np.asarray(v.array).dtype.kind == "f"
        ]

    def of(self, value: Value) -> Operand | None:
        """The values of one text that this is one of; None of one that the reference hasn't."""
        return self._family.get(id(value))

    def like(self, value: Value, node: Node) -> list[Operand]:
        """Of the same shape and dtype, those made nearest before the node first."""
        found = []
        for operand in self._all:
            other = operand.at(node)
            if other is None or other is value or other in node.outputs:
                continue
            if (other.array.shape, other.array.dtype) == (value.array.shape, value.array.dtype):
                index = -1 if other.node is None else other.node.index
                found.append((-index, operand))
        return [operand for _, operand in sorted(found, key=lambda item: item[0])]

    def of_the_reference(self) -> list[tuple[Operand, str]]:
        """Operands and operations of the reference's own."""
        return list(self._used.values())

    def table(self, node: Node) -> bool:
        """It makes a table of constants."""
        return id(node.outputs[0]) not in self._data

    def near(self, node: Node, ring: int) -> list[tuple[Operand, str]]:
        """Our known values in any operation, those made nearest to the node first.

        Tables are combined with tables, and what depends on data with what does.

        Args:
          ring: 0 for the nearest ones, 1 for the next, and so on.
        """
        kind = not self.table(node)
        alike = []
        for operand in self._all:
            value = operand.at(node)
            if value is not None and (id(value) in self._data) == kind:
                distance = node.index - (-1 if value.node is None else value.node.index)
                alike.append((distance, operand))
        alike.sort(key=lambda item: item[0])
        chosen = [operand for _, operand in alike[ring * _RING : (ring + 1) * _RING]]
        return [
            (operand, name)
            for operand in chosen
            for name in COMBINING
            if (id(operand), name) not in self._used
        ]


def fitted(array: Any, shape: tuple[int, ...]) -> list[np.ndarray]:
    """An array in shapes that broadcast to this one, its axes in their order first."""
    plain = np.asarray(array)
    if plain.size == 1:
        return [plain.reshape(())]
    found: dict[tuple[Any, ...], np.ndarray] = {}
    own = plain.reshape([s for s in plain.shape if s != 1])
    if _broadcasts(plain.shape, shape):
        found[plain.shape, "as it is"] = plain
    for start, end in itertools.combinations(range(len(shape) + 1), 2):
        if math.prod(shape[start:end]) == own.size:
            merged = (*(1 for _ in shape[:start]), *shape[start:end], *(1 for _ in shape[end:]))
            found.setdefault((merged, "merged"), own.reshape(merged))
    if 1 < own.ndim <= len(shape) <= _MOST_AXES:
        for axes in itertools.permutations(range(len(shape)), own.ndim):
            if all(shape[axis] == size for axis, size in zip(axes, own.shape, strict=True)):
                order = np.argsort(axes)
                spread = tuple(shape[a] if a in axes else 1 for a in range(len(shape)))
                found.setdefault((spread, tuple(axes)), own.transpose(order).reshape(spread))
    distinct: list[np.ndarray] = []
    for way in found.values():
        if not any(w.shape == way.shape and np.array_equal(w, way) for w in distinct):
            distinct.append(way)
    return distinct[:_MOST_WAYS]


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False
