"""Repairs: where the other program's value, put in the place of ours, makes what follows agree.

A repair proves itself: some value after it, in which another known value has a part, becomes one
that the other program has. The first that does stands nearest to the fault.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from parity.explain.arrangement import arrangements
from parity.explain.content import close, numbers
from parity.explain.graph import Graph, Node, Value
from parity.explain.guesses import Guesses
from parity.explain.match import Matcher
from parity.explain.repair import Repair
from parity.explain.slices import Slice, called_again
from parity.explain.trial import Budget

_GUESSES = 8
_AHEAD = 40
_MOST_NODES = 160
_TURNS = 64
_ALL = 1 << 30
_SEVERAL = 3
# How far back from an operation a step too many may begin, in values.
_BEFORE = 40


class Repairs:
    """Repairs of the values of a slice of ours.

    Args:
      part: of ours: what leads to wrong outputs.
      theirs: the reference's: what leads to these outputs, of values that ours hasn't.
      known: ids of our values that the reference has.
      data: ids of our values that depend on what the function is given.
      budget: for what is run again to see whether a repair is one.
    """

    def __init__(
        self,
        ours: Graph,
        matcher: Matcher,
        part: Slice,
        theirs: Slice,
        known: set[int],
        data: set[int],
        budget: Budget,
    ) -> None:
        self._budget = budget
        self._ours = ours
        self._matcher = matcher
        self._part = part
        self._known = known
        self._data = data
        self._targets = {
            id(value): matcher.reference.outputs[name]
            for name, value in ours.outputs.items()
            if name in matcher.reference.outputs
        }
        made = [v for node in theirs.nodes for v in node.outputs if id(v) in theirs.members]
        self._guesses = Guesses(ours, matcher, made, known)
        # What is known anyway says nothing: 0.5 x erfc(u) is x for a u far below 0.
        self._missing = {matcher.prints.of(v).content for v in made}

    def found(self) -> Iterator[Repair]:
        """In execution order, one of each operation; of one before several together."""
        nodes = [n for n in self._part.nodes if self._counts(n)][:_MOST_NODES]
        groups = {group[0].index: group for group in called_again(nodes)}
        for node in nodes:
            repair = self._best(self._misplaced(node), self._foreign(node)) or self._best(
                self._single(node), self._together(groups.get(node.index, []))
            )
            if repair is not None:
                yield repair
        for node in nodes:
            repair = self._best(self._misplaced(node, strange=False))
            if repair is not None:
                yield repair

    def read_wrongly(self, node: Node) -> Repair | None:
        """A repair of what an operation is given after which an output is right; None without."""
        given = itertools.chain(self._misplaced(node, strange=False), self._left(node))
        repair = self._best(given)
        return repair if repair is not None and repair.whole else None

    def _single(self, node: Node) -> Iterator[Repair]:
        yield from self._made(node)
        yield from self._too_many(node)
        yield from self._left(node)

    def _best(self, *kinds: Iterator[Repair]) -> Repair | None:
        """The one after which most agrees; of equals the first."""
        best: Repair | None = None
        reach = 0
        for repair in itertools.chain(*kinds):
            if self._budget.left < 0:
                break
            found = self._reach({id(v): array for v, array in repair.places})
            direct = any(array is v.array for v in repair.node.inputs for _, array in repair.places)
            if repair.kind == "too many" and found < (_SEVERAL if direct else _SEVERAL - 1):
                continue  # the reference may do it later: a scale on the scores, not on the query
            if found > reach:
                best, reach = repair, found
            if reach == _ALL:
                break
        return None if best is None else dataclasses.replace(best, whole=reach == _ALL)

    def _counts(self, node: Node) -> bool:
        """Not a number made of numbers."""
        return any(
            id(v) in self._part.members and (v.array.size > 1 or id(v) in self._data)
            for v in node.outputs
        )

    def _made(self, node: Node) -> Iterator[Repair]:
        value = node.outputs[0]
        again = self._again(value)
        for stranger in self._guesses.made_for(node)[:_GUESSES]:
            for array in arrangements(stranger.array, value.array):
                places = ((value, array), *((other, array) for other in again))
                yield Repair("made", node, places, stranger)

    def _again(self, value: Value) -> list[Value]:
        """The same made once more, as by a helper that is called twice."""
        content = self._matcher.prints.of(value).content
        return [
            other
            for node in self._part.nodes
            for other in node.outputs
            if other is not value
            and id(other) in self._part.members
            and other.array.shape == value.array.shape
            and other.array.dtype == value.array.dtype
            and self._matcher.prints.of(other).content == content
            and close(numbers(other.array), numbers(value.array))
        ]

    def _too_many(self, node: Node) -> Iterator[Repair]:
        """What an operation is given stands for its result, or what was known before that."""
        value = node.outputs[0]
        for given in self._before(node):
            alike = given.array.shape == value.array.shape and not given.constant
            if alike and given.array.dtype == value.array.dtype:
                for twin in self._matcher.twins(given)[:1]:
                    yield Repair("too many", node, ((value, given.array),), twin)

    def _before(self, node: Node) -> list[Value]:
        """Known values that the operation's result is made of, the nearest first."""
        frontier, seen, found = list(node.inputs), set[int](), list[Value]()
        while frontier and len(seen) < _BEFORE:
            value = frontier.pop(0)
            if id(value) in seen:
                continue
            seen.add(id(value))
            if id(value) in self._known:
                found.append(value)
            elif value.node is not None:
                frontier += value.node.inputs
        return found

    def _misplaced(self, node: Node, strange: bool = True) -> Iterator[Repair]:
        """Known elements that stand in other places, or are repeated in another way.

        Args:
          strange: only what is given, and what stands nowhere in the reference as it does in ours.
        """
        marks = self._matcher.prints
        moved: list[tuple[Value, Value, list[Any]]] = []
        for given in node.inputs:
            if given.constant or id(given) not in self._known or given.array.size < 2:
                continue
            if strange and given.node is not None and self._matcher.placed(marks.of(given)):
                continue
            found = [
                (twin, array)
                for twin in self._matcher.twins(given)[:3]
                for array in arrangements(twin.array, given.array)
                if not close(numbers(array), numbers(given.array))
            ]
            if found:
                moved.append((given, found[0][0], [array for _, array in found[:6]]))
        for given, twin, arrays in moved:
            for array in arrays:
                yield Repair("misplaced", node, ((given, array),), twin)
        if len(moved) == 2:
            for pair in itertools.product(moved[0][2], moved[1][2]):
                places = tuple((m[0], array) for m, array in zip(moved, pair, strict=True))
                yield Repair("misplaced", node, places, moved[0][1])

    def _foreign(self, node: Node) -> Iterator[Repair]:
        """An array that ours closes over and the reference hasn't."""
        for given in node.inputs:
            if not given.closed or id(given) in self._known:
                continue
            for other in self._matcher.reference.given():
                if other.array.size == given.array.size:
                    for array in arrangements(other.array, given.array):
                        yield Repair("foreign", node, ((given, array),), other)

    def _left(self, node: Node) -> Iterator[Repair]:
        """The reference goes on working on a value that ours uses as it is."""
        for given in node.inputs:
            if given.constant or id(given) not in self._known or given.array.size < 2:
                continue
            for stranger in self._guesses.made_of(given)[:_GUESSES]:
                for array in arrangements(stranger.array, given.array):
                    yield Repair("left out", node, ((given, array),), stranger)

    def _together(self, group: Sequence[Node]) -> Iterator[Repair]:
        """A helper that is called twice is repaired in both calls at once."""
        if not group:
            return
        choices: list[list[tuple[Value, Value, Any]]] = []
        for node in group:
            value = node.outputs[0]
            choices.append(
                [
                    (value, stranger, array)
                    for stranger in self._guesses.made_for(node)[: _GUESSES // 2]
                    for array in arrangements(stranger.array, value.array)[:2]
                ]
            )
        for chosen in itertools.islice(itertools.product(*choices), _TURNS):
            if len({id(stranger) for _, stranger, _ in chosen}) == len(chosen):
                places = tuple((value, array) for value, _, array in chosen)
                yield Repair("together", group[0], places, chosen[0][1])

    def _reach(self, fresh: dict[int, Any]) -> int:
        """With these arrays in place, how many of the values that follow are known.

        That says nothing where only the arrays themselves were worked on, since the reference has
        all that comes of them: another known value must have a part in it. If an output is right,
        it is all of them.
        """
        made: dict[int, tuple[Any, bool]] = {key: (array, False) for key, array in fresh.items()}
        reach = 0
        for number, node in enumerate(self._part.readers(fresh)):
            if number >= _AHEAD and not reach:
                return 0
            if any(id(v) in fresh for v in node.outputs):
                continue
            several = {id(made[id(v)][0]) for v in node.inputs if id(v) in made}
            joined = len(several) > 1 and len(fresh) > 1
            joined = joined or any(
                made[id(v)][1] if id(v) in made else self._has_a_part(v) for v in node.inputs
            )
            self._budget.left -= 1
            arrays = node.run(*(made[id(v)][0] if id(v) in made else v.array for v in node.inputs))
            for output, array in zip(node.outputs, arrays, strict=True):
                made[id(output)] = (array, joined)
                if id(output) not in self._part.members:
                    continue
                target = self._targets.get(id(output))
                if target is not None and close(numbers(array), numbers(target.array)):
                    return _ALL
                if joined and number < _AHEAD:
                    mark = self._matcher.prints.found(array)
                    reach += mark is not None and mark.telling and mark.content in self._missing
        return reach

    def _has_a_part(self, value: Value) -> bool:
        return id(value) in self._known and not value.constant and value.array.size > 1
