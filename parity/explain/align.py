"""Counterparts: the reference's value that plays the role of one of ours.

A guess is made by structure (the same operation on the same inputs), by size and by nearness; it is
accepted when it proves itself: put in the place of ours, it makes what follows agree again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from parity.explain.fingerprint import fingerprint
from parity.explain.graph import Graph, Node, Value
from parity.explain.layout import laid_out
from parity.explain.match import Knowledge, Matcher

# How many operations ahead a guess must prove itself, and how many guesses are tried.
_AHEAD = 24
_GUESSES = 6
_DESCENDANTS = 80
_DEPTH = 3
_LEFT_OUT = 16
_STAND_INS = 16


@dataclass(frozen=True)
class Counterpart:
    """A value of ours and the reference's in its place.

    Attributes:
      array: the reference's, in the layout of ours.
      supported: share of the operation's inputs that the reference's operation has too.
      proved: put in place, it made something that follows agree.
      output: both are what their functions return under one name.
    """

    ours: Value
    reference: Value
    array: Any
    same_operation: bool
    supported: float
    proved: bool
    output: bool = False

    @property
    def certain(self) -> bool:
        """An operation on the same inputs, whose result nothing of ours equals."""
        return self.supported == 1


@dataclass(frozen=True)
class _Guess:
    value: Value
    array: Any
    support: float


class Aligner:
    """Finds counterparts of values of `ours` in the matcher's reference."""

    def __init__(self, ours: Graph, matcher: Matcher, knowledge: Knowledge) -> None:
        self._ours = ours
        self._matcher = matcher
        self._knowledge = knowledge
        self._contents = {matcher.prints.of(v).content for v in ours.values()}
        self._targets = {
            id(value): target
            for name, value in ours.outputs.items()
            if (target := matcher.reference.outputs.get(name)) is not None
            and target.array.shape == value.array.shape
        }
        self._by_size: dict[int, list[Value]] = {}
        for node in matcher.reference.nodes:
            for value in node.outputs:
                self._by_size.setdefault(value.array.size, []).append(value)

    def role(self, node: Node) -> Node | None:
        """The reference's operation that does the same with nearly the same inputs."""
        target = self._targets.get(id(node.outputs[0]))
        if target is not None and target.node and target.node.operation == node.operation:
            return target.node
        guesses = [(g.value.node, g) for g in self._guesses(node) if g.value.node is not None]
        alike = [(made, g) for made, g in guesses if made.operation == node.operation]
        inputs = {self._matcher.prints.of(v).content for v in node.inputs if not v.constant}
        ranked = [
            *(made for made, _ in alike[:_GUESSES] if self._comes_from(made, inputs)),
            *(made for made, g in guesses if g.support == 1),
            *(made for made, _ in alike),
        ]
        return ranked[0] if ranked else None

    def _comes_from(self, made: Node, contents: set[Any]) -> bool:
        """The operation works on one of these values, after a few of which ours has nothing."""
        frontier, seen = list(made.inputs), 0
        while frontier and seen < _LEFT_OUT:
            value, seen = frontier.pop(), seen + 1
            content = self._matcher.prints.of(value).content
            if content in contents:
                return True
            if value.node is not None and content not in self._contents:
                frontier += value.node.inputs
        return False

    def direct(self, origin: Node) -> Counterpart | None:
        """Of the origin's output, if it is certain or proves itself, or if both are returned."""
        target = self._targets.get(id(origin.outputs[0]))
        if target is not None and target.node is not None:
            return self._returned(origin, target, target.node)
        found = self._of(origin)
        return found if found is not None and (found.proved or found.certain) else None

    def _returned(self, node: Node, target: Value, made: Node) -> Counterpart:
        value = node.outputs[0]
        array = target.array.astype(value.array.dtype)
        same, support = made.operation == node.operation, self.support(node, made)
        proved = self._proves(value, array)
        return Counterpart(value, target, array, same, support, proved, output=True)

    def later(self, origin: Node) -> Counterpart | None:
        """Of the first value after the origin for which one proves itself."""
        for node in self._descendants(origin):
            found = self._of(node)
            if found is not None and found.proved:
                return found
        return None

    def stand_in(self, value: Value) -> Counterpart | None:
        """Of an array that ours closes over: what proves itself in its place."""
        made = self._by_size.get(value.array.size, [])
        given = [v for v in self._matcher.reference.given() if v.array.size == value.array.size]
        for other in [*given, *made][:_STAND_INS]:
            array = laid_out(other.array, value.array)
            if array is not None and self._proves(value, array):
                return Counterpart(value, other, array, False, 0.0, True)
        return None

    def _of(self, node: Node) -> Counterpart | None:
        best: Counterpart | None = None
        guesses = self._guesses(node)
        supported = [guess for guess in guesses[_GUESSES:] if guess.support == 1]
        for guess in [*guesses[:_GUESSES], *supported[:_GUESSES]]:
            value, made = node.outputs[0], guess.value.node
            same = made is not None and made.operation == node.operation
            proved = self._proves(value, guess.array)
            found = Counterpart(value, guess.value, guess.array, same, guess.support, proved)
            if proved:
                return found
            if best is None and found.certain:
                best = found
        return best

    def _guesses(self, node: Node) -> list[_Guess]:
        """Reference values that nothing of ours equals, best guess first, in ours' layout."""
        value, expected_at = node.outputs[0], self._anchor(node)
        ranked = []
        for reference in self._by_size.get(value.array.size, []):
            made = reference.node
            if made is None or self._matcher.prints.of(reference).content in self._contents:
                continue
            array = laid_out(reference.array, value.array)
            if array is None:
                continue
            support = self.support(node, made)
            key = (made.operation != node.operation, -support, abs(made.index - expected_at))
            ranked.append((key, _Guess(reference, array, support)))
        return [guess for _, guess in sorted(ranked, key=lambda item: item[0])]

    def _anchor(self, node: Node) -> int:
        """Where in the reference's order one would expect the operation."""
        for before in reversed(self._ours.nodes[: node.index]):
            for value in before.outputs:
                if id(value) not in self._knowledge.known:
                    continue
                if self._matcher.prints.of(value).telling:
                    makers = [v.node for v in self._matcher.twins(value) if v.node is not None]
                    if makers:
                        return makers[0].index
        return 0

    def support(self, node: Node, made: Node, depth: int = 0) -> float:
        """Share of the inputs, constants aside, that both operations have in common.

        An input that differs counts by what it was made of in turn.
        """
        theirs = {self._matcher.prints.of(v).content for v in made.inputs}
        ours = [v for v in node.inputs if not v.constant]
        if not ours:
            return float(node.operation == made.operation)
        total = 0.0
        for position, value in enumerate(node.inputs):
            if value.constant:
                continue
            if self._matcher.prints.of(value).content in theirs:
                total += 1
            elif depth < _DEPTH and position < len(made.inputs):
                maker, other = value.node, made.inputs[position].node
                if maker and other and maker.operation == other.operation:
                    total += 0.9 * self.support(maker, other, depth + 1)
        return total / len(ours)

    def _proves(self, value: Value, array: Any) -> bool:
        """With the array in the value's place, something that follows is known.

        That says nothing where only the array itself was worked on, since the reference has all
        that comes of it: another value of ours must have a part in it.
        """
        fresh: dict[int, tuple[Any, bool]] = {id(value): (array, False)}
        seen = 0
        for node in self._ours.nodes:
            if not any(id(v) in fresh for v in node.inputs):
                continue
            seen += 1
            if seen > _AHEAD:
                return False
            joined = any(
                fresh[id(v)][1] if id(v) in fresh else self._has_a_part(v) for v in node.inputs
            )
            arrays = node.run(
                *(fresh[id(v)][0] if id(v) in fresh else v.array for v in node.inputs)
            )
            for output, result in zip(node.outputs, arrays, strict=True):
                fresh[id(output)] = (result, joined)
                if joined:
                    mark = fingerprint(result)
                    if mark.telling and self._matcher.has(mark):
                        return True
        return False

    def _has_a_part(self, value: Value) -> bool:
        known = id(value) in self._knowledge.known and not value.constant
        return known and value.array.size > 1

    def _descendants(self, origin: Node) -> Iterator[Node]:
        """Operations that depend on the origin and whose output the reference hasn't, in order."""
        reached = {id(v) for v in origin.outputs}
        count = 0
        for node in self._ours.nodes[origin.index + 1 :]:
            if not any(id(v) in reached for v in node.inputs):
                continue
            reached |= {id(v) for v in node.outputs}
            if not any(id(v) in self._knowledge.known for v in node.outputs):
                count += 1
                if count > _DESCENDANTS:
                    return
                yield node
