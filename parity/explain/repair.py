"""A repair: the other program's value in the place of ours, and what that is said to mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.explain.graph import Graph, Node, Value
from parity.explain.slices import Slice

Kind = Literal["made", "too many", "left out", "misplaced", "together", "foreign"]


@dataclass(frozen=True)
class Repair:
    """What is put in place of what.

    Attributes:
      node: of ours: makes the value, or is the first to read it.
      places: our values, and the arrays that stand in for them.
      reference: the other program's value that the first array is of.
      whole: an output of the function is right with it.
    """

    kind: Kind
    node: Node
    places: tuple[tuple[Value, Any], ...]
    reference: Value
    whole: bool = False


def applied(ours: Graph, part: Slice, repair: Repair) -> None:
    """Put the repair's arrays in place for good, of a known value for the slice alone."""
    for value, array in repair.places:
        if id(value) in part.members and value.node is not None:
            _hold(value.node, value, array)
            ours.substitute(value, array)
            continue
        other = Value(array, name=value.name)
        reading = [node for node in part.nodes if value in node.inputs]
        for node in reading:
            node.inputs[:] = [other if v is value else v for v in node.inputs]
        ours.substitute(other, array)


def _hold(node: Node, value: Value, array: Any) -> None:
    """From now on the operation gives this array, whatever it is run on."""
    run, place = node.run, node.outputs.index(value)

    def held(*arrays: Any) -> Sequence[Any]:
        made = list(run(*arrays)) if len(node.outputs) > 1 else [array]
        made[place] = array
        return made

    node.run = held
