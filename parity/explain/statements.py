"""Which statement stands for an operation: its own, or the call of the helper that it is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.explain.blame import constants, in_scope
from parity.explain.edit import Edit
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import Location
from parity.explain.match import Matcher

# How many values are followed to what reads them.
_AHEAD = 80
MOVING = frozenset(
    ("reshape", "tile", "concatenate", "rev", "gather", "slice", "dynamic_slice", "scatter")
)
PARTS = frozenset((*MOVING, "row", "squeeze", "broadcast_in_dim", "transpose", "split"))


class Statements:
    """Statements of our operations.

    Args:
      known: ids of our values that the reference has.
    """

    def __init__(self, ours: Graph, matcher: Matcher, known: set[int]) -> None:
        self._ours = ours
        self._matcher = matcher
        self._known = known
        self._readers = ours.consumers()

    def readers(self, value: Value) -> list[Node]:
        """The operations that read a value."""
        return self._readers.get(id(value), [])

    def place(self, edit: Edit, whole: bool) -> Location:
        """The innermost statement on the way to the edit at which what it takes is at hand.

        Args:
          whole: an output is right with it.
        """
        node = edit.nodes[0]
        where = edit.frame or node.where
        if edit.taken is None:
            whole = whole and edit.general and edit.constant is None
            return self.caller(node) or self.call(node, edit.nodes, whole)
        if edit.taken.array.dtype == bool and edit.frame is None:
            # What is masked is masked where it is used.
            readers = self._readers.get(id(node.outputs[0]), [])
            where = readers[0].where if len(readers) == 1 else where
        frame: Location | None = where
        while frame is not None and edit.taken.node is not None:
            if in_scope(frame, edit.taken, self._ours):
                return frame
            frame = frame.caller
        return where

    def call(self, node: Node, changed: Sequence[Node], whole: bool) -> Location:
        """The operation's statement, or the call of its helper where others call it rightly.

        Args:
          changed: operations at which something else has to be done.
          whole: an output is right with it, so that all others are.
        """
        where = node.where
        if where.caller is None:
            return where
        for other in self._ours.nodes:
            same = (other.where.place, other.operation) == (where.place, node.operation)
            if not same or other.where.caller is None or other in changed:
                continue
            elsewhere = other.where.caller.place != where.caller.place
            if elsewhere and (whole or self._used_rightly(other)):
                return where.caller
        return where

    def _used_rightly(self, node: Node) -> bool:
        """The reference has what it makes and what is made of that."""
        marks, frontier, used = self._matcher.prints, list(node.outputs), False
        for _ in range(_AHEAD):
            value = frontier.pop() if frontier else None
            if value is None:
                break
            if id(value) not in self._known:
                return False
            for reader in self._readers.get(id(value), []):
                same = marks.of(reader.outputs[0]).content == marks.of(value).content
                if same or reader.operation in PARTS:
                    frontier += reader.outputs
                elif all(id(v) in self._known for v in reader.outputs):
                    used = True
                else:
                    return False
        return used

    def caller(self, node: Node) -> Any:
        """The caller of a helper that is right where others call it."""
        caller = node.where.caller
        if caller is None or not constants(node):
            return None
        for other in self._ours.nodes:
            same = (other.where.place, other.operation) == (node.where.place, node.operation)
            if same and other.where.caller is not None:
                elsewhere = other.where.caller.place != caller.place
                elsewhere = elsewhere and constants(other) != constants(node)
                if elsewhere and all(id(v) in self._known for v in other.outputs):
                    return caller
        return None


def helper_call(inner: Sequence[Node]) -> Location | None:
    """The caller of the one function that holds all of these: another may have to be called."""
    callers = {(node.where.file, node.where.function, node.where.caller) for node in inner}
    (_, _, caller), *others = callers
    return None if others else caller


def moves(node: Node) -> bool:
    """Elements stand in other places after it, where the order of axes is none."""
    if node.operation == "reshape":
        shapes = [v.array.shape for v in (node.inputs[0], node.outputs[0])]
        own, made = ([size for size in shape if size != 1] for shape in shapes)
        return own != made
    return node.operation in MOVING


def is_given(value: Value) -> bool:
    """Part of what the function is given, as it is."""
    while value.node is not None:
        if value.node.operation not in PARTS:
            return False
        value = value.node.inputs[0]
    return not value.constant
