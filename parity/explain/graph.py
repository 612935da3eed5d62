"""A replayed program: its values, the operations that made them, and where these are written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from parity.explain.location import NOWHERE, Location


@dataclass(eq=False, repr=False)
class Value:
    """One array of a replay.

    Attributes:
      node: the operation that made it; None for an input, a closed-over array or a constant.
      name: of an input or a closed-over array.
      constant: written in the program.
      closed: an array that the function closes over, or made with NumPy while it was traced.
    """

    array: jax.Array
    node: Node | None = None
    name: str = ""
    constant: bool = False
    closed: bool = False


@dataclass(eq=False, repr=False)
class Node:
    """One operation of a replay, in execution order.

    Attributes:
      operation: its name.
      parameters: the equation's.
      run: arrays in, arrays out.
      slot: which operation of this name it is in its line, in one call of its function; the same
        in each turn of a loop.
      changed: other parameters in, what would be run with them out; None where it has none.
    """

    index: int
    operation: str
    parameters: Mapping[str, Any]
    run: Callable[..., Sequence[jax.Array]]
    inputs: list[Value]
    outputs: list[Value]
    where: Location
    slot: int = 0
    changed: Callable[..., Callable[..., Sequence[jax.Array]]] | None = None


@dataclass(repr=False)  # each holds the next: a repr would not end
class Graph:
    """All values of one replay.

    Attributes:
      closed: arrays that the function closes over; weights mostly.
      outputs: of the function, by name.
      end: where the function returns.
    """

    inputs: list[Value]
    closed: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    end: Location = NOWHERE

    def given(self) -> list[Value]:
        """What no operation made: inputs, then closed-over arrays."""
        return [*self.inputs, *self.closed]

    def values(self) -> list[Value]:
        """What is given, then what each operation made, in order."""
        return [*self.given(), *(value for node in self.nodes for value in node.outputs)]

    def consumers(self) -> dict[int, list[Node]]:
        """The operations that read a value, by the value's id."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(id(value), []).append(node)
        return found

    def first_output(self, node: Node) -> str | None:
        """Name of the first output that depends on the operation; None if none does."""
        names = {id(value): name for name, value in self.outputs.items()}
        reached = {id(v) for v in node.outputs}
        for later in (node, *self.nodes[node.index + 1 :]):
            if later is not node and any(id(v) in reached for v in later.inputs):
                reached |= {id(v) for v in later.outputs}
            for value in later.outputs:
                if id(value) in reached and id(value) in names:
                    return names[id(value)]
        return None

    def drop_dead(self) -> None:
        """Forget operations that no output depends on."""
        needed = {id(value) for value in self.outputs.values()}
        kept = []
        for node in reversed(self.nodes):
            if any(id(v) in needed for v in node.outputs):
                needed |= {id(v) for v in node.inputs}
                kept.append(node)
        self.nodes = kept[::-1]
        for index, node in enumerate(self.nodes):
            node.index = index

    def run_again(self, node: Node) -> None:
        """Run an operation again, and what depends on it."""
        for output, array in zip(node.outputs, self._made(node), strict=True):
            self.substitute(output, array)

    def edit(self, nodes: Sequence[Node], made: Callable[[Node], Any]) -> None:
        """Run something else at these operations from now on, and what depends on them again."""
        for node in nodes:
            run = made(copy.copy(node))
            node.run = node.run if run is None else _cast(run, node)
        for node in nodes:
            self.run_again(node)

    def _made(self, node: Node) -> Sequence[Any]:
        return node.run(*(v.array for v in node.inputs))

    def substitute(self, value: Value, array: jax.Array) -> list[Value]:
        """Replace a value and run again what depends on it; returns the values that changed."""
        value.array = array
        changed = {id(value)}
        result = [value]
        for node in self.nodes:
            if value in node.outputs or not any(id(v) in changed for v in node.inputs):
                continue
            arrays = node.run(*(v.array for v in node.inputs))
            for output, fresh in zip(node.outputs, arrays, strict=True):
                output.array = fresh
                changed.add(id(output))
                result.append(output)
        return result


def _cast(run: Callable[..., Sequence[Any]], node: Node) -> Callable[..., Sequence[Any]]:
    """The same in the dtypes that the node's outputs have."""
    dtypes = [value.array.dtype for value in node.outputs]

    def cast(*arrays: Any) -> Sequence[Any]:
        with np.errstate(all="ignore"):
            made = [np.asarray(array) for array in run(*arrays)]
            return [array.astype(dtype) for array, dtype in zip(made, dtypes, strict=True)]

    return cast
