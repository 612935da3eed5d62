"""Which operation put a value's elements in other places than the reference's stand in."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from parity.explain.content import close, numbers
from parity.explain.edit import Run, edited
from parity.explain.graph import Node, Value

MOVING = frozenset(
    ("reshape", "tile", "concatenate", "rev", "gather", "slice", "dynamic_slice", "scatter")
)
# Of known elements these take some, in the order that they are in.
_PICKING = frozenset(("slice", "dynamic_slice"))
# How many operations a misplaced value is followed back.
_BACK = 80
_LARGEST = 1 << 18


def mover(value: Value, array: Any, stands: Callable[[Value], bool]) -> Node | None:
    """The operation that put a value's elements in other places, as far as it can be told.

    Args:
      array: the value as it should be.
      stands: whether a value's elements stand as the reference's do, or it is none of these.
    """
    frontier: list[Node | None] = [value.node]
    looked_up: list[Node] = []
    for _ in range(_BACK):
        node = frontier.pop(0) if frontier else None
        if node is None:
            continue
        moved = moves(node) and node.operation not in _PICKING
        if moved and any(stands(v) for v in node.inputs if not v.constant):
            if node.operation != "gather":
                return repeating(node) or node
            looked_up.append(node)  # in the right place perhaps, by indices in the wrong order
        frontier += [v.node for v in node.inputs if v.node not in frontier]
    return looked_up[0] if looked_up else exchanged_axes(value, array)


def moves(node: Node) -> bool:
    """Elements stand in other places after it, where the order of axes is none."""
    if node.operation == "reshape":
        shapes = [v.array.shape for v in (node.inputs[0], node.outputs[0])]
        own, made = ([size for size in shape if size != 1] for shape in shapes)
        return own != made
    return node.operation in MOVING


def repeating(node: Node) -> Node | None:
    """What repeats elements along a new axis, if all that the operation does is to merge it."""
    before = node.inputs[0].node
    if node.operation != "reshape" or before is None or before.operation != "broadcast_in_dim":
        return None
    more = before.outputs[0].array.size > before.inputs[0].array.size > 1
    same = (before.where.file, before.where.function) == (node.where.file, node.where.function)
    return before if more and same else None


def exchanged_axes(value: Value, array: Any) -> Node | None:
    """The earliest operation whose result, with two axes exchanged, makes the value this array.

    None where there is none, as where an axis was split in another order.
    """
    if value.array.size > _LARGEST:
        return None
    nodes = _behind(value)
    for node in nodes:
        shape = node.outputs[0].array.shape
        for axes in itertools.combinations(range(len(shape)), 2):
            if shape[axes[0]] == shape[axes[1]] > 1:
                made = edited(nodes, value, [node], functools.partial(_exchanging, axes=axes))
                if made is not None and close(numbers(made), numbers(array)):
                    return node
    return None


def _behind(value: Value) -> list[Node]:
    """Operations that the value was made by, the nearest ones, in execution order."""
    found: dict[int, Node] = {}
    frontier = [value.node]
    while frontier and len(found) < _BACK:
        node = frontier.pop(0)
        if node is not None and id(node) not in found:
            found[id(node)] = node
            frontier += [v.node for v in node.inputs]
    return sorted(found.values(), key=lambda node: node.index)


def _exchanging(node: Node, axes: tuple[int, int]) -> Run:
    def run(*arrays: Any) -> Any:
        first, *rest = node.run(*arrays)
        return [np.swapaxes(np.asarray(first), *axes), *rest]

    return run
