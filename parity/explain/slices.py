"""What wrong outputs were made of, back to values that both programs have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from parity.explain.blame import constants
from parity.explain.graph import Graph, Node, Value


@dataclass
class Slice:
    """Operations that lead to wrong outputs through values that the other program hasn't.

    Attributes:
      nodes: in execution order.
      members: ids of the values that they make and that are not known.
    """

    nodes: list[Node]
    members: set[int]

    def readers(self, ids: Iterable[int]) -> list[Node]:
        """Operations of the slice that depend on one of these values, in order."""
        reached = set(ids)
        found = []
        for node in self.nodes:
            if any(id(v) in reached for v in node.inputs):
                reached |= {id(v) for v in node.outputs}
                found.append(node)
        return found

    def entering(self) -> list[Value]:
        """Known values that operations of the slice read, in the order of first reading."""
        found = {id(v): v for n in self.nodes for v in n.inputs if id(v) not in self.members}
        return list(found.values())

    def cone(self, value: Value) -> Slice:
        """The part of the slice that the value was made by."""
        return slice_of(self.nodes, [value], lambda v: id(v) not in self.members)


def slice_of(nodes: Sequence[Node], wrong: Iterable[Value], known: Any) -> Slice:
    """Back from wrong values, which are members whatever is known of them.

    Args:
      known: says of a value whether the other program has it.
    """
    members = {id(v) for v in wrong}
    needed: list[Node] = []
    for node in reversed(nodes):
        if any(id(v) in members for v in node.outputs):
            needed.append(node)
            members |= {id(v) for v in node.inputs if v.node is not None and not known(v)}
    return Slice(needed[::-1], members)


def from_data(graph: Graph) -> set[int]:
    """Ids of values that depend on what the function is given, not on constants alone."""
    return _reached(graph, graph.given())


def from_inputs(graph: Graph) -> set[int]:
    """The same without what depends on arrays alone that the function closes over."""
    return _reached(graph, graph.inputs)


def _reached(graph: Graph, start: Iterable[Value]) -> set[int]:
    found = {id(v) for v in start}
    for node in graph.nodes:
        if any(id(v) in found for v in node.inputs):
            found |= {id(v) for v in node.outputs}
    return found


def called_again(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Two or more operations of one text, in different calls."""
    found: dict[Any, list[Node]] = {}
    for node in nodes:
        text = (node.where.place, node.operation, tuple(constants(node)))
        found.setdefault(text, []).append(node)
    yield from (group for group in found.values() if 2 <= len(group) <= 3)
