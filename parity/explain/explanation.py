"""Two functions of the same arguments -> where they depart, statement by statement."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from parity.errors import RequestError
from parity.explain.alike import rounding_alike, scattered
from parity.explain.attribution import Attribution, attribute
from parity.explain.faithful import Faithfulness, faithfulness
from parity.explain.findings import Finding, Kind, output_words
from parity.explain.formula import Formulas, formulas
from parity.explain.graph import Graph
from parity.explain.location import Location
from parity.explain.outputs import NONFINITE, apart, check_outputs, compiled_apart
from parity.explain.replay import output_shapes, replay
from parity.explain.search import find
from parity.program.jaxprs import EvaluationError
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

    @property
    def kind(self) -> Kind:
        """`formula`, or `rounding` where both compute the same and round it elsewhere."""
        return self.findings[0].kind


@dataclass
class Explanation:
    """Causes in execution order.

    Attributes:
      agrees: the outputs have the same dtypes and bits as compiled programs give them, and, where
        bits were searched, operation by operation. Where they haven't, there is a cause or a note.
      same_formula: the outputs have the same dtypes and agree to many digits in float64, so that
        what is left is rounding; None where they couldn't be evaluated in float64.
      faithful: whether the replay is what compiled programs compute; asked where the formulas are
        the same.
      notes: what was seen and has no cause.
      finite: no output overflows in one of the two alone.
    """

    causes: list[Cause]
    agrees: bool
    same_formula: bool | None = None
    faithful: Faithfulness | None = None
    notes: list[str] = field(default_factory=list)
    finite: bool = True

    @property
    def harmless(self) -> bool:
        """Nothing departs, but perhaps by rounding that no statement is to blame for."""
        rounding = self.same_formula is True and not self.causes
        return self.agrees or (rounding and self.finite)

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
    shapes = [
        output_shapes(fn, inputs, label)
        for fn, label in ((ours, "ours"), (reference, "the reference"))
    ]
    check_outputs(*shapes)
    held, notes = in_float64(ours, reference, inputs)
    if held is not None and not held.same:
        return _departing(ours, reference, inputs, held, notes)
    kept = all(v.dtype == shapes[1][name].dtype for name, v in shapes[0].items())
    same = None if held is None else kept and held.same
    if held is not None and not (held.alike or held.few):
        return _compiled(ours, reference, inputs, list(shapes[0]), same, notes)
    blame = held is None or held.alike
    explanation = _rounding_apart(ours, reference, inputs, attribution, blame)
    explanation.same_formula = same
    explanation.notes[:0] = notes
    return explanation


def _compiled(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    names: Sequence[str],
    same: bool | None,
    notes: Sequence[str],
) -> Explanation:
    """Of two programs of one formula that were written apart: how they differ as users run them."""
    try:
        differ = compiled_apart(ours, reference, inputs, names)
    except jax.errors.JaxRuntimeError as error:  # a backend may lack what each operation alone has
        brief = str(error).splitlines()[0]
        said = f"compiled as a whole, one of the two can't be run here: {brief}"
        return Explanation([], False, same, notes=[*notes, said])
    finite = not any(NONFINITE in words for words in differ.values())
    told = _rounding(differ) if finite else [f"{output_words(n)} {w}" for n, w in differ.items()]
    return Explanation([], not differ, same, notes=[*notes, *told], finite=finite)


def _departing(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    held: Formulas,
    notes: Sequence[str],
) -> Explanation:
    """Of two programs of other formulas; where one was written after the other, by their bits."""
    if held.alike:
        # Neither the compiler nor another way of compiling has a part in it.
        own, theirs = replay(ours, inputs, "ours"), replay(reference, inputs, "the reference")
        # Before the search, which undoes what it finds.
        equal, differ = rounding_alike(own, theirs), apart(own, theirs)
        found = find(own, theirs, "formula")
        # After a norm another scale is but a rounding, and one cause is an answer.
        if equal or len(grouped(found)) == 1:
            _seen_from_there(found, ours, reference, inputs)
            unexplained = [*notes, *_unexplained(differ, found, own)]
            return Explanation(grouped(found), False, False, notes=unexplained)
        # They are alike in their operations alone.
        again, _ = in_float64(ours, reference, inputs, apart=True)
        held = again or held
    return Explanation(grouped(held.findings), False, False, notes=[*notes, *held.notes])


def _rounding_apart(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    attribution: bool,
    blame: bool,
) -> Explanation:
    """In their own dtypes, two programs of one formula, or of which that isn't known.

    Args:
      blame: name statements; not where neither was written after the other.
    """
    own, theirs = replay(ours, inputs, "ours"), replay(reference, inputs, "the reference")
    differ = apart(own, theirs)  # before the search, which undoes what it finds
    faithful = faithfulness(ours, reference, inputs, own, theirs)
    found = find(own, theirs) if blame else []
    if scattered(len(grouped(found)), own):
        return _compiled(ours, reference, inputs, list(own.outputs), None, [])
    explanation = Explanation(grouped(found), not differ and not faithful.apart, faithful=faithful)
    explanation.notes += _unexplained(differ, found, own)
    explanation.finite = not any(NONFINITE in words for words in differ.values())
    tried = attribution and not explanation.agrees
    tried_out = attribute(ours, reference, inputs) if tried else None
    if explanation.causes:
        explanation.causes[0].attribution = tried_out
        if explanation.agrees:
            explanation.notes.append("the outputs agree all the same, bit for bit")
    elif not differ and faithful.apart:
        names = ", ".join(faithful.apart[:_SHOWN])
        said = f"each operation alone agrees; compiled as a whole, {names} has other bits"
        explanation.notes.append(f"{said}. {tried_out}" if tried_out else said)
    return explanation


def _seen_from_there(
    found: Sequence[Finding],
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
) -> None:
    """Where the reference departs from ours: one edit has a statement on each side."""
    own, theirs = replay(ours, inputs, "ours"), replay(reference, inputs, "the reference")
    there = find(theirs, own, "formula")
    if len(grouped(found)) == len(grouped(there)) == 1:
        found[0].edited_there = there[0].where


explain = causes


def in_float64(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    apart: bool = False,
) -> tuple[Formulas | None, list[str]]:
    """What float64 says; None, and why, where it has no meaning for an operation."""
    try:
        return formulas(ours, reference, inputs, apart), []
    except EvaluationError as error:
        return None, [f"the formulas were not held apart from rounding: {error}"]


def _rounding(differ: dict[str, str]) -> list[str]:
    """What is said of two programs that were written apart and round nearly everywhere."""
    if not differ:
        return []
    shown = [f"{output_words(name)} {what}" for name, what in list(differ.items())[:_SHOWN]]
    return [f"both round nearly everywhere, so no statement is to blame: {'; '.join(shown)}"]


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
