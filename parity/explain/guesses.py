"""Which of the reference's values may stand for one of ours, the likeliest first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity.explain.arrangement import once
from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Matcher


class Guesses:
    """Guesses among the reference's values that ours hasn't.

    Args:
      strangers: these values, in execution order.
      known: ids of our values that the reference has.
    """

    def __init__(
        self, ours: Graph, matcher: Matcher, strangers: Sequence[Value], known: set[int]
    ) -> None:
        self._ours = ours
        self._matcher = matcher
        self._strangers = strangers
        self._known = known
        self._descent: dict[int, set[int]] = {}
        self._sizes: dict[int, tuple[object, int]] = {}

    def made_of(self, given: Value) -> list[Value]:
        """What the reference makes of a value of ours, as large and of a kind."""
        after, size = self._after(given), self._once(given)
        return [
            v
            for v in self._strangers
            if id(v) in after
            and self._once(v) == size
            and (v.array.dtype == bool) == (given.array.dtype == bool)
        ]

    def made_for(self, node: Node) -> list[Value]:
        """The reference's values that ours hasn't, those most like the operation's first."""
        value = node.outputs[0]
        size = value.array.size
        inputs = {self._matcher.prints.of(v).content for v in node.inputs if not v.constant}
        anchor = self._anchor(node)
        ranked = []
        for stranger in self._strangers:
            made, other = stranger.node, stranger.array.size
            if made is None or (other != size and self._once(stranger) != self._once(value)):
                continue
            if (stranger.array.dtype == bool) != (value.array.dtype == bool):
                continue
            theirs = {self._matcher.prints.of(v).content for v in made.inputs if not v.constant}
            shared = len(inputs & theirs) / max(len(inputs), 1)
            key = (
                other != size,
                -(shared if made.operation == node.operation else shared / 2),
                made.operation != node.operation,
                abs(made.index - anchor),
            )
            ranked.append((key, stranger))
        return [stranger for _, stranger in sorted(ranked, key=lambda item: item[0])]

    def _once(self, value: Value) -> int:
        """How many elements are left where none is repeated along an axis."""
        key = id(value.array)
        if key not in self._sizes:
            self._sizes[key] = (value.array, once(np.asarray(value.array)).size)
        return self._sizes[key][1]

    def _anchor(self, node: Node) -> int:
        """Where in the reference's order one would expect the operation."""
        for before in reversed(self._ours.nodes[: node.index]):
            value = before.outputs[0]
            if id(value) in self._known and self._matcher.prints.of(value).telling:
                makers = [v.node for v in self._matcher.twins(value) if v.node is not None]
                if makers:
                    return makers[0].index
        return 0

    def _after(self, given: Value) -> set[int]:
        """Ids of the reference's values that its twins of ours have a part in."""
        if id(given) not in self._descent:
            reached = {id(v) for v in self._matcher.twins(given)}
            for node in self._matcher.reference.nodes:
                if any(id(v) in reached for v in node.inputs):
                    reached |= {id(v) for v in node.outputs}
            self._descent[id(given)] = reached
        return self._descent[id(given)]
