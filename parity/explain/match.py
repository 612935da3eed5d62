"""Which of a program's values the other program has too, and where they first depart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from parity.explain.fingerprint import Fingerprint, fingerprint
from parity.explain.graph import Graph, Node, Value


class Fingerprints:
    """Fingerprints of values, made when first asked for and shared by equal array objects.

    Of their bits; a subclass makes them of something else.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[object, Fingerprint]] = {}

    def of(self, value: Value) -> Fingerprint:
        key = id(value.array)
        if key not in self._made:
            # The array is held, so that its id can't be taken by another.
            self._made[key] = (value.array, self.of_array(value.array))
        return self._made[key][1]

    def of_array(self, array: Any) -> Fingerprint:
        return fingerprint(array)

    def found(self, array: Any) -> Fingerprint | None:
        """Of an array that a value may have been given for; None where surely none was."""
        return self.of_array(array)


@dataclass
class Knowledge:
    """What of our values the reference has.

    Attributes:
      known: ids of our values that the reference has, in whatever order of elements, or that hold
        nothing that could tell and come from known ones.
      in_place: those of them whose elements stand where the reference's do.
      benign: ids of our values that it hasn't, but that lead back to values that it has. No output
        of the function is among them.
      foreign: ids of the arrays that ours closes over and the reference hasn't.
    """

    known: set[int]
    in_place: set[int]
    benign: set[int]
    foreign: set[int]

    def accepted(self, value: Value) -> bool:
        return id(value) in self.known or id(value) in self.benign

    def strangers(self, node: Node) -> list[Value]:
        """The closed-over arrays that an operation reads and the reference hasn't."""
        return [v for v in node.inputs if id(v) in self.foreign and id(v) not in self.benign]


class Matcher:
    """Recognises our values among the reference's.

    Args:
      reference: replayed on the same inputs.
      prints: of bits, if none are given.
    """

    def __init__(self, reference: Graph, prints: Fingerprints | None = None) -> None:
        self.prints = prints or Fingerprints()
        self.reference = reference
        self._contents: dict[tuple[int, int, int], list[Value]] = {}
        self._orders: dict[bytes, list[Value]] = {}
        self._exact: set[bytes] = set()
        for value in reference.values():
            mark = self.prints.of(value)
            self._contents.setdefault(mark.content, []).append(value)
            self._orders.setdefault(mark.order, []).append(value)
            self._exact.add(mark.exact)

    def twins(self, value: Value) -> list[Value]:
        """The reference's values of the same content, those in the same order first."""
        mark = self.prints.of(value)
        ordered = self._orders.get(mark.order, [])
        return ordered + [v for v in self._contents.get(mark.content, []) if v not in ordered]

    def has(self, mark: Fingerprint) -> bool:
        """The reference has a value of this content or order."""
        return mark.content in self._contents or mark.order in self._orders

    def placed(self, mark: Fingerprint) -> bool:
        """The reference has a value of these elements in this order, up to that of the axes."""
        return mark.order in self._orders

    def known_to(self, ours: Graph) -> frozenset[int]:
        """Ids of the reference's values that ours has, too."""
        contents = {self.prints.of(v).content for v in ours.values()}
        values = self.reference.values()
        return frozenset(id(v) for v in values if self.prints.of(v).content in contents)

    def knowledge(self, ours: Graph) -> Knowledge:
        """Of each value whether it is known, in order, or leads back to known ones."""
        known: set[int] = set()
        in_place: set[int] = set()
        telling_known: set[int] = set()
        for value in ours.inputs:
            known.add(id(value))
            in_place.add(id(value))
        for value in ours.closed:
            mark = self.prints.of(value)
            # Of one that can't tell it is not asked where it comes from.
            if self.has(mark) or not mark.telling:
                known.add(id(value))
            if mark.exact in self._exact or not mark.telling:
                in_place.add(id(value))
        for node in ours.nodes:
            settled = all(v.constant or id(v) in known for v in node.inputs)
            straight = all(v.constant or id(v) in in_place for v in node.inputs)
            for value in node.outputs:
                mark = self.prints.of(value)
                # What many values share by chance is known only if it comes from known ones.
                if not self.has(mark) or not (mark.telling or settled):
                    continue
                known.add(id(value))
                if mark.telling:
                    telling_known.add(id(value))
                if mark.exact in self._exact and (mark.telling or straight):
                    in_place.add(id(value))
        benign = _leading_back(ours, known, telling_known)
        benign -= {id(value) for value in ours.outputs.values()}
        foreign = {id(value) for value in ours.closed} - known
        return Knowledge(known, in_place, benign, foreign)


def _leading_back(ours: Graph, known: set[int], telling: set[int]) -> set[int]:
    """Unknown values on a path to a known one that can't be so by chance."""
    benign: set[int] = set()
    for node in reversed(ours.nodes):
        back = any(id(v) in telling or id(v) in benign for v in node.outputs)
        if back:
            benign |= {id(v) for v in node.inputs if id(v) not in known and not v.constant}
    return benign


def origins(ours: Graph, knowledge: Knowledge) -> Iterable[Node]:
    """Operations whose inputs are known, whose output is not and leads back to nothing known.

    The first that reads a closed-over array which the reference hasn't is one, too.
    """
    for node in ours.nodes:
        inputs = [v for v in node.inputs if not v.constant and id(v) not in knowledge.foreign]
        if all(knowledge.accepted(v) for v in inputs) and not all(
            knowledge.accepted(v) for v in node.outputs
        ):
            yield node
