"""Every place where ours departs from the reference, one after the other.

The first departure hides what follows. So once it is found, the reference's value is put in the
place of ours where the two programs line up again, and the search goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from parity.explain.align import Aligner, Counterpart
from parity.explain.blame import blamed, constants
from parity.explain.graph import Graph, Node
from parity.explain.location import Location
from parity.explain.match import Knowledge, Matcher, origins
from parity.explain.placement import misplaced, misplaced_output

Confidence = Literal["high", "medium", "low"]
_ROUNDS = 40


@dataclass(repr=False)
class Finding:
    """One departure.

    Attributes:
      node: our operation whose inputs the reference has, and whose output it hasn't.
      where: the statement to look at first.
      counterpart: where the two line up again; None if nowhere.
      ours, reference: the two values where they line up, before the reference's was put in place.
      confidence, reason: how sure the place is, and why.
      alternatives: other statements to look at, nearest first.
      role, role_support: the reference's operation in the place of ours, and the share of the
        inputs that they have in common.
      known, reference_known: ids of the values that both sides have, of ours and of the reference.
    """

    node: Node
    where: Location
    counterpart: Counterpart | None
    ours: Any
    reference: Any
    confidence: Confidence
    reason: str
    alternatives: list[Location] = field(default_factory=list)
    role: Node | None = None
    role_support: float = 0.0
    known: frozenset[int] = frozenset()
    reference_known: frozenset[int] = frozenset()

    @property
    def change(self) -> str:
        """What differs between two operations on the same inputs, in words."""
        if self.role is None or self.role_support < 1:
            return ""
        if self.role.operation != self.node.operation:
            return f"{self.node.operation} where the reference has {self.role.operation}"
        own, theirs = constants(self.node), constants(self.role)
        if own != theirs and len(own) == len(theirs) == 1:
            return f"{own[0]:.6g} where the reference has {theirs[0]:.6g}"
        return ""

    @property
    def counterpart_where(self) -> Location | None:
        """The reference's line that makes the value in question."""
        node = self.counterpart.reference.node if self.counterpart else None
        return node.where if node else None

    @property
    def counterpart_place(self) -> str:
        """That line in words, which say so where it is farther on; empty if it isn't known."""
        where = self.counterpart_where
        if self.counterpart is None or where is None or not where.file:
            return ""
        later = self.counterpart.ours.node is not self.node
        return f"{where}, where the two line up again" if later else str(where)


def find(ours: Graph, reference: Graph) -> list[Finding]:
    """Departures of ours in execution order. Values of `ours` are replaced on the way."""
    search = _Search(ours, Matcher(reference))
    while search.step():
        pass
    return sorted(search.found, key=lambda finding: finding.node.index)


class _Search:
    def __init__(self, ours: Graph, matcher: Matcher) -> None:
        self._ours = ours
        self._matcher = matcher
        self._tainted: set[int] = set()
        self._given_up: set[int] = set()
        self._rounds = 0
        self.found: list[Finding] = []

    def step(self) -> bool:
        """Find one departure and undo it; False where there is none left."""
        self._rounds += 1
        knowledge = self._matcher.knowledge(self._ours)
        left = [n for n in origins(self._ours, knowledge) if n.index not in self._given_up]
        if self._rounds > _ROUNDS:
            return False
        if not left:
            return self._output(knowledge)
        aligner = Aligner(self._ours, self._matcher, knowledge)
        # One that can be undone on the spot goes first: lining up again further on would hide
        # others that meet it there.
        for origin in left:
            moved, counterpart = misplaced(origin, self._matcher, knowledge)
            counterpart = counterpart or aligner.direct(origin)
            if counterpart is not None:
                self._settle(origin, moved, counterpart, aligner, knowledge)
                return True
        origin = left[0]
        self._settle(origin, None, aligner.later(origin), aligner, knowledge)
        return True

    def _output(self, knowledge: Knowledge) -> bool:
        node, counterpart = misplaced_output(self._ours, self._matcher, knowledge)
        if node is None or counterpart is None:
            return False
        aligner = Aligner(self._ours, self._matcher, knowledge)
        self._settle(node, node, counterpart, aligner, knowledge)
        return True

    def _settle(
        self,
        origin: Node,
        moved: Node | None,
        counterpart: Counterpart | None,
        aligner: Aligner,
        knowledge: Knowledge,
    ) -> None:
        node = moved or origin
        role = None
        if not any(id(v) in self._tainted for v in origin.inputs):
            if moved is not None:
                where, words = moved.where, "its elements are the reference's, in other places"
            else:
                role = aligner.role(origin)
                where, words = blamed(origin, role, self._ours, self._matcher, knowledge)
            finding = _finding(node, where, words, counterpart, self._ours)
            if role is not None:
                finding.role, finding.role_support = role, aligner.support(origin, role)
            finding.known = frozenset(knowledge.known)
            finding.reference_known = self._matcher.known_to(self._ours)
            self.found.append(finding)
        self._tainted |= _reach(self._ours, node, counterpart)
        # Lest a substitution that didn't settle it be tried for ever.
        if counterpart is None or counterpart.ours.node is not origin:
            self._given_up.add(origin.index)
        if counterpart is not None:
            self._ours.substitute(counterpart.ours, counterpart.array)


def _finding(
    node: Node, where: Location, words: str, counterpart: Counterpart | None, ours: Graph
) -> Finding:
    if counterpart is None:
        confidence: Confidence = "low"
        reason = "its inputs are the reference's, its output is not; the two never line up again"
    elif counterpart.ours.node is node and counterpart.certain and counterpart.same_operation:
        confidence = "high"
        reason = "the reference has the same operation on the same inputs, with another result"
    elif counterpart.ours.node is node:
        confidence = "high" if counterpart.proved else "medium"
        reason = "with the reference's value in its place, what follows agrees"
    else:
        confidence = "medium"
        after = counterpart.ours.node
        place = f" at {after.where}" if after else ""
        reason = f"its inputs are the reference's; the two line up again{place}"
    value = counterpart.ours if counterpart else node.outputs[0]
    return Finding(
        node,
        where,
        counterpart,
        value.array,
        counterpart.array if counterpart else None,
        confidence,
        f"{words}; {reason}" if words else reason,
        _alternatives(node, where, ours),
    )


def _alternatives(node: Node, where: Location, ours: Graph) -> list[Location]:
    """Other statements: the operation's own, what feeds it, its caller, what reads it."""
    named = [n for n in ours.nodes[: node.index] if n.where is where][-1:]
    before = [*_feeding(named), *_feeding([node])]
    before = [place for place in before if place.place != where.place]
    readers = ours.consumers()
    after = [n.where for v in node.outputs for n in readers.get(id(v), [])]
    callers = [node.where.caller] if node.where.caller else []
    places: dict[tuple[str, int], Location] = {}
    for place in (node.where, *before[:1], *callers, *before[1:2], *after[:1], *before[2:]):
        if place.place != where.place and place.file:
            places.setdefault(place.place, place)
    return list(places.values())[:4]


def _feeding(nodes: Sequence[Node]) -> list[Location]:
    """Statements that made what the operations read, nearest first."""
    places: list[Location] = []
    frontier = [v.node for n in nodes for v in n.inputs if v.node is not None]
    for _ in range(3):
        places += [n.where for n in frontier]
        frontier = [v.node for n in frontier for v in n.inputs if v.node is not None]
    return places


def _reach(ours: Graph, node: Node, counterpart: Counterpart | None) -> set[int]:
    """Ids of values spoiled by the node that a substitution doesn't repair."""
    if counterpart is not None and counterpart.ours in node.outputs:
        return set()
    healed = id(counterpart.ours) if counterpart is not None else None
    reached = {id(v) for v in node.outputs}
    for later in ours.nodes[node.index + 1 :]:
        if any(id(v) in reached for v in later.inputs):
            reached |= {id(v) for v in later.outputs if id(v) != healed}
    return reached


def differing(finding: Finding) -> tuple[int, int] | None:
    """How many elements of the two values differ, and of how many."""
    if finding.reference is None:
        return None
    a, b = (np.asarray(x).astype(np.float32) for x in (finding.ours, finding.reference))
    return int(np.count_nonzero(a != b)), int(a.size)
