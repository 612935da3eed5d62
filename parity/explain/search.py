"""Every place where ours departs from the reference, one after the other.

The first departure hides what follows. So once it is found, the reference's value is put in the
place of ours where the two programs line up again, and the search goes on from there. Outputs are
compared with outputs before and after, whatever is known on the way to them.
"""

from __future__ import annotations

from parity.explain.align import Aligner, Counterpart
from parity.explain.blame import blamed
from parity.explain.findings import Finding, Kind, finding_of
from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Knowledge, Matcher, origins
from parity.explain.outputs import OutputComparison
from parity.explain.placement import misplaced, misplaced_output

_ROUNDS = 40


def find(ours: Graph, reference: Graph, kind: Kind = "rounding") -> list[Finding]:
    """Departures of ours in execution order. Values of `ours` are replaced on the way.

    Args:
      kind: what they are, which bits alone don't tell.
    """
    search = _Search(ours, Matcher(reference))
    search.outputs()
    while search.step():
        pass
    search.outputs()
    for finding in search.found:
        finding.kind, finding.leads_to = kind, ours.first_output(finding.node)
    # What no output depends on is no cause, but it says what one could have used instead.
    needed = [f for f in search.found if f.leads_to is not None or f.outputs]
    return sorted(needed, key=lambda finding: finding.node.index)


class _Search:
    def __init__(self, ours: Graph, matcher: Matcher) -> None:
        self._ours = ours
        self._matcher = matcher
        self._tainted: set[int] = set()
        self._uncertain: set[int] = set()
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
            for stranger in knowledge.strangers(origin):
                counterpart = aligner.stand_in(stranger)
                if counterpart is not None:
                    self._settle(origin, None, counterpart, aligner, knowledge)
                    return True
            moved, counterpart = misplaced(origin, self._matcher, knowledge)
            counterpart = counterpart or aligner.direct(origin)
            if counterpart is not None:
                self._settle(origin, moved, counterpart, aligner, knowledge)
                return True
        origin = left[0]
        self._settle(origin, None, aligner.later(origin), aligner, knowledge)
        return True

    def outputs(self) -> None:
        """Compare outputs with outputs, but for those that a departure is known to spoil.

        What follows a value that was put in place on less than certainty is spoiled, too.
        """
        told = {name for finding in self.found for name in finding.outputs}
        compared = OutputComparison(self._ours, self._matcher, self._matcher.knowledge(self._ours))
        self.found += compared.findings(told, self._tainted | self._uncertain)

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
        role: Node | None = None
        strangers = knowledge.strangers(origin)
        if not any(id(v) in self._tainted for v in origin.inputs):
            if moved is not None:
                where, words = moved.where, "its elements are the reference's, in other places"
            elif strangers:
                where, words = origin.where, _none_of(strangers)
            elif counterpart is not None and counterpart.ours.node is None:
                held = f"our {counterpart.ours.name} holds"
                where, words = origin.where, f"{held} the reference's elements in other places"
            else:
                role = aligner.role(origin)
                where, words = blamed(origin, role, self._ours, self._matcher, knowledge)
            finding = finding_of(node, where, words, counterpart, self._ours)
            if role is not None:
                finding.role, finding.role_support = role, aligner.support(origin, role)
            finding.known = frozenset(knowledge.known)
            finding.reference_known = self._matcher.known_to(self._ours)
            self.found.append(finding)
        self._tainted |= _reach(self._ours, node, counterpart)
        # Lest a substitution that didn't settle it be tried for ever.
        if counterpart is None or counterpart.ours.node not in (origin, None):
            self._given_up.add(origin.index)
        if counterpart is not None:
            changed = self._ours.substitute(counterpart.ours, counterpart.array)
            same = counterpart.certain and counterpart.same_operation
            if not same and not counterpart.output:
                self._uncertain |= {id(value) for value in changed}


def _none_of(strangers: list[Value]) -> str:
    arrays = " and ".join(value.name for value in strangers)
    return f"our {arrays} {'are' if len(strangers) > 1 else 'is'} none of the reference's values"


def _reach(ours: Graph, node: Node, counterpart: Counterpart | None) -> set[int]:
    """Ids of values spoiled by the node that a substitution doesn't repair."""
    if counterpart is not None and counterpart.ours in (*node.outputs, *node.inputs):
        return set()
    healed = id(counterpart.ours) if counterpart is not None else None
    reached = {id(v) for v in node.outputs}
    for later in ours.nodes[node.index + 1 :]:
        if any(id(v) in reached for v in later.inputs):
            reached |= {id(v) for v in later.outputs if id(v) != healed}
    return reached
