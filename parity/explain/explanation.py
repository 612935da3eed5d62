"""Two functions of the same arguments -> where they depart, statement by statement."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.errors import RequestError
from parity.explain.attribution import Attribution, attribute
from parity.explain.faithful import Faithfulness, faithfulness
from parity.explain.figures import shape_of
from parity.explain.findings import Finding, output_words
from parity.explain.graph import Graph, replay
from parity.explain.location import Location
from parity.explain.outputs import apart
from parity.explain.search import find
from parity.sides.callables import tappable

# How many outputs a message names.
_SHOWN = 3


@dataclass
class Cause:
    """One statement, and every operation at which it makes values depart.

    Attributes:
      findings: in execution order; the first is shown.
      attribution: what choice of numerics removes the difference, if that was searched.
      elsewhere: where else the same happens, in words.
    """

    findings: list[Finding]
    attribution: Attribution | None = None
    elsewhere: str = ""

    @property
    def where(self) -> Location:
        return self.findings[0].where


@dataclass
class Explanation:
    """Causes in execution order.

    Attributes:
      agrees: the outputs have the same dtypes and bits, replayed and compiled. Where they haven't,
        there is a cause or a note.
      faithful: whether the replay is what compiled programs compute.
      notes: what was seen and has no cause.
    """

    causes: list[Cause]
    agrees: bool
    faithful: Faithfulness | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        from parity.explain.wording import explanation_text

        return explanation_text(self)


def causes(
    ours: Callable[..., Any], reference: Callable[..., Any], *inputs: Any, attribution: bool = True
) -> Explanation:
    """Find every statement of `ours` at which it departs from `reference`.

    Args:
      ours, reference: callables of the same arguments: functions, `apply` of flax.linen, modules of
        flax.nnx or equinox. Pytrees of arrays in, the same tree of the same shapes out.
        Weights are arguments, or closed over. No taps and no common names are needed; a keyword
        argument `tap` is given a function that does nothing.
      inputs: on which both are run, operation by operation.
      attribution: also search what way of compiling explains the difference.

    Raises:
      RequestError: a function can't be traced or replayed, or their outputs are of different kinds.
    """
    for side in (ours, reference):
        if not callable(side):
            raise RequestError(
                f"causes takes two functions, got a {type(side).__name__}: a recorded run has no "
                "lines; give the function that made it"
            )
    ours, reference = _untapped(ours), _untapped(reference)
    own, theirs = replay(ours, inputs, "ours"), replay(reference, inputs, "the reference")
    check_outputs(own, theirs)
    faithful = faithfulness(ours, reference, inputs, own, theirs)
    differ = apart(own, theirs)  # before the search, which undoes what it finds
    found = find(own, theirs)
    explanation = Explanation(grouped(found), not differ and not faithful.apart, faithful)
    explanation.notes += _unexplained(differ, found, own)
    tried = attribution and not explanation.agrees
    tried_out = attribute(ours, reference, inputs) if tried else None
    if explanation.causes:
        explanation.causes[0].attribution = tried_out
        if explanation.agrees:
            explanation.notes.append("the outputs agree all the same, bit for bit")
    elif not differ and faithful.apart:
        names = ", ".join(faithful.apart[:_SHOWN])
        note = f"each operation alone agrees; compiled as a whole, {names} has other bits"
        explanation.notes.append(f"{note}. {tried_out}" if tried_out else note)
    return explanation


explain = causes


def check_outputs(ours: Graph, reference: Graph) -> None:
    """Functions whose outputs can't be compared don't compute the same kind of thing.

    Raises:
      RequestError: naming the outputs that differ in name or shape.
    """

    def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
        return {name: tuple(v.array.shape) for name, v in graph.outputs.items()}

    own, theirs = shapes(ours), shapes(reference)
    if own == theirs:
        return
    alone = {name for name, shape in own.items() if theirs.get(name) != shape}
    missing = {name for name, shape in theirs.items() if own.get(name) != shape}
    raise RequestError(
        f"the two functions don't compute the same kind of thing: ours returns "
        f"{_structure(ours, alone)}, the reference {_structure(reference, missing)}"
    )


def _structure(graph: Graph, names: set[str]) -> str:
    """The first outputs of these names, as in `['a'] float32[6, 16], and 2 more`."""
    listed = [f"{name} {shape_of(v.array)}" for name, v in graph.outputs.items() if name in names]
    shown = ", ".join(text.strip() for text in listed[:_SHOWN]) or "nothing more"
    return shown + (f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


def grouped(findings: Sequence[Finding]) -> list[Cause]:
    """Findings by statement, in the order of their first operation."""
    found: dict[tuple[str, int], Cause] = {}
    for finding in findings:
        found.setdefault(finding.where.place, Cause([])).findings.append(finding)
    return list(found.values())


def _unexplained(differ: dict[str, str], found: Sequence[Finding], ours: Graph) -> list[str]:
    """A note for each output that differs and that no finding leads to."""
    reached = {id(v) for finding in found for v in finding.node.outputs}
    for node in ours.nodes:
        if any(id(v) in reached for v in node.inputs):
            reached |= {id(v) for v in node.outputs}
    told = {name for finding in found for name in finding.outputs}
    return [
        f"{output_words(name)} {what}; the place was not found"
        for name, what in differ.items()
        if name not in told and id(ours.outputs[name]) not in reached
    ]


def _untapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Of arrays alone: a module is taken apart, and a tap does nothing."""
    tapped = tappable(fn)

    def untapped(*args: Any) -> Any:
        return tapped(*args, tap=lambda _, value: value)

    return functools.update_wrapper(untapped, fn, assigned=(), updated=())
