"""The rounding pass: where two programs of one formula begin to round apart, in their own dtypes.

It speaks where one was written after the other, so that nearly all of their values have the same
bits: then the few operations that haven't are what differs. Two programs that were written apart
round nearly everywhere, and to blame a statement for that would be an accusation.
"""

from __future__ import annotations

from parity.explain.findings import Finding
from parity.explain.graph import Graph
from parity.explain.match import Matcher
from parity.explain.search import find

# This share of our values has to have bits that the reference has, too.
_ALIKE = 0.5


def rounding_findings(ours: Graph, reference: Graph) -> list[Finding] | None:
    """Departures in bits, in execution order; None where the two round nearly everywhere.

    Values of `ours` are replaced on the way.
    """
    found = find(ours, reference)
    return found if not found or _alike(ours, reference) else None


def _alike(ours: Graph, reference: Graph) -> bool:
    """Once what was found is undone, most of what ours makes has the reference's bits."""
    matcher = Matcher(reference)
    marks = [matcher.prints.of(v) for node in ours.nodes for v in node.outputs]
    telling = [mark for mark in marks if mark.telling]
    return sum(matcher.has(mark) for mark in telling) >= _ALIKE * len(telling)
