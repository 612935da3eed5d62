"""Which statement stands for an operation: its own, or the call of the helper that it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from parity.explain.aliases import named_at
from parity.explain.blame import constants, in_scope
from parity.explain.edit import Edit
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import Location
from parity.explain.match import Matcher
from parity.explain.moves import MOVING

# How many values are followed to what reads them.
_AHEAD = 80
PARTS = frozenset((*MOVING, "row", "squeeze", "broadcast_in_dim", "transpose", "split"))


class Statements:
    """Statements of our operations.

    Args:
      known: ids of our values that the reference has.
      accused: places that are accused already.
    """

    def __init__(
        self, ours: Graph, matcher: Matcher, known: set[int], accused: set[tuple[str, int]]
    ) -> None:
        self._accused = accused
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
                where = frame
                break
            frame = frame.caller
        if edit.given is None:
            return where
        if edit.taken.node is None:
            return self._choosing(node, edit.given)
        return named_at(where, edit.given) or where

    def _choosing(self, node: Node, given: Value) -> Location:
        """The statement that chooses what an operation is given: weights may come with an object.

        Where the same text reads something else in another call, that call's statement chose.
        """
        where = node.where
        slot = next((i for i, v in enumerate(node.inputs) if v is given), None)
        while slot is not None and where.caller is not None:
            others = [
                (other.inputs[slot], at)
                for other in self._ours.nodes
                if (other.operation, other.slot) == (node.operation, node.slot)
                and len(other.inputs) > slot
                for at in _chain(other.where)
                if at.place == where.place
            ]
            if all(v is given for v, at in others if at.caller is not where.caller):
                break
            where = where.caller
        return where

    def call(self, node: Node, changed: Sequence[Node], whole: bool) -> Location:
        """The operation's statement, or the call of its helper where others call it rightly.

        Args:
          changed: operations at which something else has to be done.
          whole: an output is right with it, so that all others are.
        """
        where = node.where
        # What was mended is no evidence that a helper is right for others.
        if where.caller is None or where.place in self._accused:
            return where
        for other in self._ours.nodes:
            if not _same_text(other, node) or other.where.caller is None or other in changed:
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

    def accused(self, where: Location) -> Location:
        """The statement, or one that called it and is accused already."""
        at: Location | None = where
        while at is not None:
            if at.place in self._accused:
                return at
            at = at.caller
        return where

    def caller(self, node: Node) -> Any:
        """The caller of a helper that is right where others call it."""
        caller = node.where.caller
        if caller is None or not constants(node):
            return None
        for other in self._ours.nodes:
            if _same_text(other, node) and other.where.caller is not None:
                elsewhere = other.where.caller.place != caller.place
                elsewhere = elsewhere and constants(other) != constants(node)
                if elsewhere and all(id(v) in self._known for v in other.outputs):
                    return caller
        return None


def _chain(where: Location) -> Iterator[Location]:
    at: Location | None = where
    while at is not None:
        yield at
        at = at.caller


def _same_text(one: Node, other: Node) -> bool:
    """One operation of a line, in whatever call."""
    return (one.where.place, one.operation, one.slot) == (
        other.where.place,
        other.operation,
        other.slot,
    )


def within(one: Location, other: Location) -> bool:
    """It stands in the call of the other's function, or in what that calls."""
    calls = [(w.file, w.function, w.caller) for w in _chain(one)]
    return (other.file, other.function, other.caller) in calls


def nearer(one: Location, other: Location) -> bool:
    """Of two statements in helpers of a common caller the first is no deeper below that."""
    own = [at for at in _chain(one) if not within(other, at)]
    others = [at for at in _chain(other) if not within(one, at)]
    common = len(own) < len(list(_chain(one)))
    return common and 0 < len(own) <= len(others)


def helper_call(inner: Sequence[Node]) -> Location | None:
    """The caller of the one function that holds all of these: another may have to be called."""
    callers = {(node.where.file, node.where.function, node.where.caller) for node in inner}
    (_, _, caller), *others = callers
    return None if others else caller


def is_given(value: Value) -> bool:
    """Part of what the function is given, as it is."""
    while value.node is not None:
        if value.node.operation not in PARTS:
            return False
        value = value.node.inputs[0]
    return not value.constant
