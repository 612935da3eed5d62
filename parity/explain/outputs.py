"""Outputs held against outputs, by name.

A value of ours that the reference has is right on the way to an output, and may be wrong as the
output: where the reference goes on after it, where two outputs are exchanged, where an input is
returned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from parity.errors import RequestError
from parity.explain.align import Aligner, Counterpart
from parity.explain.blame import maker_of
from parity.explain.content import numbers
from parity.explain.figures import differing, mismatched, shape_of
from parity.explain.findings import (
    Confidence,
    Finding,
    alternatives,
    named,
    other_places,
    output_words,
)
from parity.explain.graph import Graph, Node, Value
from parity.explain.match import Knowledge, Matcher

_SHOWN = 3


def apart(ours: Graph, reference: Graph) -> dict[str, str]:
    """The outputs whose dtype or bits are not the reference's, each with what differs.

    Args:
      ours, reference: with outputs of the same names and shapes.
    """
    theirs = {name: np.asarray(value.array) for name, value in reference.outputs.items()}
    own = {name: np.asarray(value.array) for name, value in ours.outputs.items()}
    return _differences(own, theirs)


def compiled_apart(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    names: Sequence[str],
) -> dict[str, str]:
    """The same of two functions, compiled as users do."""
    arrays = [
        map(np.asarray, jax.tree.leaves(jax.jit(lambda *args, fn=fn: fn(*args))(*inputs)))
        for fn in (ours, reference)
    ]
    own, theirs = (dict(zip(names, side, strict=True)) for side in arrays)
    return _differences(own, theirs)


def _differences(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, str]:
    found = {}
    for name, own in ours.items():
        theirs = reference[name]
        counted = differing(own, theirs)
        if _finite(own) != _finite(theirs):
            found[name] = f"{NONFINITE}: {counted}"
        elif own.dtype != theirs.dtype:
            also = f"; {counted}" if counted.count else ""
            found[name] = f"is {shape_of(own)}, the reference's {shape_of(theirs)}{also}"
        elif counted.count:
            found[name] = f"is not the reference's: {counted}"
        elif mismatched(own, theirs):
            found[name] = "differs from the reference's in the sign of zero or the bits of NaN"
    return found


NONFINITE = "is infinite or NaN where the reference is not, or the other way round"


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(numbers(array)).all())


def check_outputs(ours: Mapping[str, Any], reference: Mapping[str, Any]) -> None:
    """Functions whose outputs can't be compared don't compute the same kind of thing.

    Args:
      ours, reference: shapes and dtypes of the outputs, by name.

    Raises:
      RequestError: naming the outputs that differ in name or shape.
    """
    shapes = [{name: out.shape for name, out in side.items()} for side in (ours, reference)]
    if shapes[0] == shapes[1]:
        return
    alone, missing = (
        {name: side[name] for name, shape in own.items() if other.get(name) != shape}
        for side, own, other in zip((ours, reference), shapes, shapes[::-1], strict=True)
    )
    raise RequestError(
        f"the two functions don't compute the same kind of thing: ours returns "
        f"{_structure(alone)}, the reference {_structure(missing)}"
    )


def _structure(outputs: Mapping[str, Any]) -> str:
    """The first outputs, as in `['a'] float32[6, 16], and 2 more`."""
    listed = [f"{name} {shape_of(out)}" for name, out in outputs.items()]
    shown = ", ".join(text.strip() for text in listed[:_SHOWN]) or "nothing more"
    return shown + (f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


class OutputComparison:
    """What is wrong with outputs though nothing on the way to them is.

    Args:
      ours: as far as its other departures were undone.
      same: whether two arrays of one shape are taken for equal.
    """

    def __init__(
        self,
        ours: Graph,
        matcher: Matcher,
        knowledge: Knowledge,
        same: Callable[[Any, Any], bool] = lambda a, b: differing(a, b).count == 0,
    ) -> None:
        self._equal = same
        self._ours = ours
        self._reference = matcher.reference
        self._matcher = matcher
        self._knowledge = knowledge
        self._aligner = Aligner(ours, matcher, knowledge)

    def findings(self, told: set[str], spoiled: set[int]) -> list[Finding]:
        """Of the outputs that differ; one may speak for two.

        Args:
          told: names of outputs of which all is said.
          spoiled: ids of values that a known departure spoils.
        """
        found: list[Finding] = []
        for name, value in self._ours.outputs.items():
            target = self._reference.outputs.get(name)
            if target is None or name in told or not self._comparable(value, target, spoiled):
                continue
            finding = self._exchanged(name, value, target) or self._inner(name, value, target)
            finding = finding or self._made(name, value, target)
            finding.known = frozenset(self._knowledge.known)
            finding.reference_known = self._matcher.known_to(self._ours)
            found.append(finding)
            told = told | set(finding.outputs)
        return found

    def _comparable(self, value: Value, target: Value, spoiled: set[int]) -> bool:
        """Known on the way, and not the output; an unknown one was spoiled by an operation."""
        known = value.node is None or id(value) in self._knowledge.known
        if not known or id(value) in spoiled or value.array.shape != target.array.shape:
            return False
        prints = self._matcher.prints
        moved = prints.of(value).content == prints.of(target).content
        if moved and id(value) not in self._knowledge.in_place:
            return False  # which operation moved its elements, the search finds
        return not self._same(value, target)

    def _exchanged(self, name: str, value: Value, target: Value) -> Finding | None:
        for other, second in self._ours.outputs.items():
            theirs = self._reference.outputs.get(other)
            if other == name or theirs is None:
                continue
            if self._same(value, theirs) and self._same(second, target):
                telling = self._telling(value) and self._telling(second)
                words = f"our outputs {name} and {other} are the reference's, exchanged"
                confidence: Confidence = "high" if telling else "medium"
                return self._finding((name, other), value, target, True, confidence, words)
        return None

    def _inner(self, name: str, value: Value, target: Value) -> Finding | None:
        """Our output is a value that the reference has, but not as this output."""
        twins = self._matcher.twins(value)
        if not twins or not (self._telling(value) or value.node is None):
            return None
        missing = {id(twin): self._between(twin, target) for twin in twins}
        leading = [twin for twin in twins if missing[id(twin)]]
        if not leading:
            words = f"{output_words(name)} is {self._described(twins[0])}"
            return self._finding((name,), value, target, True, "medium", words)
        twin = min(leading, key=lambda twin: len(missing[id(twin)]))
        words = f"{output_words(name)} is {self._described(twin)}; after it the reference has "
        words += _listed(missing[id(twin)])
        return self._finding((name,), value, target, value.node is None, "high", words)

    def _made(self, name: str, value: Value, target: Value) -> Finding:
        """The operation that made the output is the first whose result isn't the reference's."""
        node, role = value.node, target.node
        if node is None:
            what = f"our {value.name}" if value.name else "a constant of the program"
            words = f"{output_words(name)} is {what}, which is none of the reference's values"
            return self._finding((name,), value, target, True, "medium", words)
        support = 0.0 if role is None else self._aligner.support(node, role)
        if role is not None and role.operation == node.operation and support == 1:
            confidence: Confidence = "high"
            words = "the reference has the same operation on the same inputs, with another result"
        else:
            confidence = "medium"
            words = f"its inputs are the reference's; {output_words(name)} is not"
        finding = self._finding((name,), value, target, False, confidence, words)
        finding.role, finding.role_support = role, support
        return finding

    def _finding(
        self,
        names: tuple[str, ...],
        value: Value,
        target: Value,
        returned: bool,
        confidence: Confidence,
        words: str,
    ) -> Finding:
        """Args: returned: what is wrong is which value is returned, not how it was made."""
        node = value.node
        if returned or node is None:
            node = self._returning(value)
        maker = maker_of(value, self._matcher) or node
        where = maker.where
        if returned and self._ours.end.file:
            where = self._ours.end
        places = other_places(where, [maker.where, *alternatives(node, where, self._ours)])
        return Finding(
            node,
            where,
            Counterpart(value, target, target.array, False, 0.0, False),
            value.array,
            target.array,
            confidence,
            words,
            places,
            outputs=names,
        )

    def _returning(self, value: Value) -> Node:
        """An operation that stands for the statement which returns what it was given."""
        end = len(self._ours.nodes)
        return Node(end, "return", {}, lambda array: [array], [value], [value], self._ours.end)

    def _between(self, twin: Value, target: Value) -> list[Node]:
        """The reference's operations that lead from one of its values to an output."""
        reached = {id(twin)}
        after = []
        for node in self._reference.nodes:
            if any(id(v) in reached for v in node.inputs):
                reached |= {id(v) for v in node.outputs}
                after.append(node)
        needed = {id(target)}
        path = []
        for node in reversed(after):
            if any(id(v) in needed for v in node.outputs):
                needed |= {id(v) for v in node.inputs if id(v) in reached}
                path.append(node)
        path.reverse()
        return [node for node in path if self._changes(node)] or path

    def _changes(self, node: Node) -> bool:
        """It does more than to move or cast elements."""
        made = {self._matcher.prints.of(v).content for v in node.outputs}
        return not made & {self._matcher.prints.of(v).content for v in node.inputs}

    def _described(self, twin: Value) -> str:
        for name, value in self._reference.outputs.items():
            if value is twin or self._same(value, twin):
                return f"the reference's output {name}"
        if twin.node is not None:
            return "an inner value of the reference"
        return named(twin)

    def _same(self, ours: Value, reference: Value) -> bool:
        alike = ours.array.shape == reference.array.shape
        return alike and self._equal(ours.array, reference.array)

    def _telling(self, value: Value) -> bool:
        return self._matcher.prints.of(value).telling


def _listed(nodes: Sequence[Node]) -> str:
    """Operations and where they stand: the first few by name."""
    names = list(dict.fromkeys(node.operation for node in nodes))
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    first, last = nodes[0].where, nodes[-1].where
    return f"{shown} at {first}" + (f" to {last}" if last.place != first.place else "")
