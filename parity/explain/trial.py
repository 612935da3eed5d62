"""Whether an edit makes a wrong value the one that is wanted, and what trying it costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.explain.content import TOLERANCE, close, numbers
from parity.explain.edit import Edit, edited
from parity.explain.graph import Node, Value
from parity.explain.slices import Slice
from parity.program.host import on_host

_LARGEST = 1 << 18
# To run an operation again costs more for each so many elements, and where JAX has to run it.
_ELEMENTS = 4096
_DISPATCHED = 8


@dataclass
class Budget:
    """How many operations may still be run again; trials that find it empty fail."""

    left: float

    @contextlib.contextmanager
    def part(self, share: float) -> Iterator[Budget]:
        """A budget of its own of what is left; what it doesn't use stays."""
        part = Budget(max(self.left, 0.0) * share)
        given = part.left
        yield part
        self.left -= given - max(part.left, 0.0)


class Trial:
    """A value of ours that ought to be another array.

    Args:
      cone: what the value is made by.
      wanted: the array.
      budget: shared with other trials.
      tolerance: within which it has to be the array, of its elements' size.
    """

    def __init__(
        self,
        cone: Slice,
        value: Value,
        wanted: Any,
        budget: Budget,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.tolerance = tolerance
        self.cone = cone
        self.value = value
        self.expected = numbers(wanted)
        self._shape = wanted.shape
        self._budget = budget
        costs = [_cost(node) for node in cone.nodes]
        behind = np.cumsum(costs[::-1])[::-1]
        self._all = float(sum(costs))
        self._behind = {id(n): float(c) for n, c in zip(cone.nodes, behind, strict=True)}

    def first(self, edits: Iterable[Edit]) -> Edit | None:
        """The first that settles it, as far as the budget goes."""
        for edit in edits:
            if self.settles(edit):
                return edit
            if self._budget.left < 0:
                break
        return None

    def array(self, edit: Edit) -> np.ndarray | None:
        """The value with the edit made; None where that can't be."""
        nodes = self.cone.nodes
        if edit.through:
            merged = {id(n): n for n in (*nodes, *edit.through) if n.index <= nodes[-1].index}
            nodes = sorted(merged.values(), key=lambda node: node.index)
        cost = self._behind.get(id(edit.nodes[0]), self._all) + len(edit.through)
        self._budget.left -= cost
        if self._budget.left < 0 or self.expected.size > _LARGEST:
            return None
        array = edited(nodes, self.value, edit.nodes, edit.made)
        return None if array is None or array.shape != self._shape else numbers(array)

    def settles(self, edit: Edit) -> bool:
        array = self.array(edit)
        return array is not None and close(array, self.expected, self.tolerance)


def _cost(node: Node) -> float:
    size = node.outputs[0].array.size / _ELEMENTS
    return 1 + size + (0 if on_host(node.operation, node.parameters) else _DISPATCHED)
