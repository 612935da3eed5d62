"""One place where ours departs from the reference, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from parity.explain.align import Counterpart
from parity.explain.blame import constants
from parity.explain.content import TOLERANCE
from parity.explain.figures import Differing, differing
from parity.explain.graph import Graph, Node, Value
from parity.explain.location import Location

Confidence = Literal["high", "medium", "low"]
Kind = Literal["formula", "rounding"]


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
      outputs: names of the function's outputs that were compared with the reference's; none where
        the departure was found on the way to them.
      kind: whether it is found in float64 too, where nothing is rounded.
      wide: its arrays are what the programs give in float64.
      leads_to: name of the first output that depends on the operation; None if none does.
      edited_there: the reference's statement at which it departs from ours, where that was looked
        for from its side.
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
    outputs: tuple[str, ...] = ()
    kind: Kind = "rounding"
    leads_to: str | None = None
    wide: bool = False
    edited_there: Location | None = None

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
    def differing(self) -> Differing | None:
        """How much the two values differ where they line up; None where they never do."""
        if self.reference is None:
            return None
        return differing(self.ours, self.reference, TOLERANCE if self.wide else 0.0)

    @property
    def counterpart_where(self) -> Location | None:
        """The reference's line that makes the value in question."""
        if self.edited_there is not None:
            return self.edited_there
        node = self.counterpart.reference.node if self.counterpart else None
        return node.where if node else None

    @property
    def counterpart_place(self) -> str:
        """That line in words, which say so where it is farther on; empty if it isn't known."""
        where = self.counterpart_where
        if self.counterpart is None or where is None or not where.file:
            return ""
        if self.edited_there is not None:
            return str(where)
        later = self.counterpart.ours not in self.node.outputs
        return f"{where}, where the two line up again" if later else str(where)


def finding_of(
    node: Node, where: Location, words: str, counterpart: Counterpart | None, ours: Graph
) -> Finding:
    """A finding whose confidence follows from how its counterpart was found.

    Args:
      words: what is wrong at the statement; may be empty.
    """
    if counterpart is None:
        confidence: Confidence = "low"
        reason = "its inputs are the reference's, its output is not; the two never line up again"
    elif counterpart.ours.node is node and counterpart.certain and counterpart.same_operation:
        confidence = "high"
        reason = "the reference has the same operation on the same inputs, with another result"
    elif counterpart.output and not counterpart.proved:
        name = next(name for name, value in ours.outputs.items() if value is counterpart.ours)
        confidence = "medium"
        reason = f"its inputs are the reference's; {output_words(name)} is not"
    elif counterpart.ours.node is node:
        confidence = "high" if counterpart.proved else "medium"
        reason = "with the reference's value in its place, what follows agrees"
    elif counterpart.ours.node is None:
        confidence = "high"
        reason = f"with {named(counterpart.reference)} in its place, what follows agrees"
    else:
        confidence = "medium"
        after = counterpart.ours.node.where
        reason = f"its inputs are the reference's; the two line up again at {after}"
    value = counterpart.ours if counterpart else node.outputs[0]
    return Finding(
        node,
        where,
        counterpart,
        value.array,
        counterpart.array if counterpart else None,
        confidence,
        f"{words}; {reason}" if words else reason,
        alternatives(node, where, ours),
    )


def alternatives(node: Node, where: Location, ours: Graph) -> list[Location]:
    """Other statements: the operation's own, what feeds it, its caller, what reads it."""
    named = [n for n in ours.nodes[: node.index] if n.where is where][-1:]
    before = [*_feeding(named), *_feeding([node])]
    before = [place for place in before if place.place != where.place]
    readers = ours.consumers()
    after = [n.where for v in node.outputs for n in readers.get(id(v), [])]
    callers = [node.where.caller] if node.where.caller else []
    nearest = (node.where, *before[:1], *callers, *before[1:2], *after[:1], *before[2:])
    return other_places(where, nearest)


def other_places(where: Location, places: Sequence[Location]) -> list[Location]:
    """Known places but for one, each once; the first few."""
    kept = {place.place: place for place in places if place.file and place.place != where.place}
    return list(kept.values())[:4]


def _feeding(nodes: Sequence[Node]) -> list[Location]:
    """Statements that made what the operations read, nearest first."""
    places: list[Location] = []
    frontier = [v.node for n in nodes for v in n.inputs if v.node is not None]
    for _ in range(3):
        places += [n.where for n in frontier]
        frontier = [v.node for n in frontier for v in n.inputs if v.node is not None]
    return places


def output_words(name: str) -> str:
    """Such as `our output ['logits']`; the name is empty where it is the only one."""
    return f"our output {name}" if name else "our output"


def named(value: Value) -> str:
    """One of the reference's values in words."""
    if value.node is not None:
        return f"the reference's {value.node.operation} at {value.node.where}"
    if value.closed:
        return f"the reference's {value.name}"
    return f"the argument {value.name}" if value.name else "a constant of the reference"
