"""Two models explained piece by piece, each piece on the reference's values.

Only pieces that differ at a tap are replayed operation by operation, and of those only the first of
its kind: it stands for others that differ at the same taps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parity.explain.attribution import Attribution, Choice, attribute
from parity.explain.explanation import Cause, Explanation, grouped, in_float64
from parity.explain.faithful import Faithfulness, faithfulness
from parity.explain.findings import Finding, Kind
from parity.explain.graph import Graph
from parity.explain.replay import replay
from parity.explain.search import find
from parity.program.oracle import collecting
from parity.program.stages import Stage, injecting, stage_arguments
from parity.sides.side import Side
from parity.trace.frames import Trace
from parity.verdict.diff import DiffSink
from parity.verdict.grouping import GroupingRule, by_index
from parity.verdict.run import recorded

Progress = Callable[[str], None]
Fn = Callable[..., Any]


@dataclass(frozen=True)
class Choices:
    """What may be varied on our side to find out what explains a difference.

    Attributes:
      changes: by name, such as `gating=fused`, what is changed.
      stages: our side's pieces with some changes at once.
    """

    changes: Mapping[str, Mapping[str, Any]]
    stages: Callable[[Mapping[str, Any]], Sequence[Stage]]


def explain_regions(
    ours: Side,
    reference: Side,
    trace: Trace,
    progress: Progress = lambda _: None,
    *,
    choices: Choices | None = None,
    grouping: GroupingRule = by_index,
) -> Explanation:
    """Every statement of ours at which a piece of it departs from the reference's same piece.

    Args:
      ours, reference: with stages, paired by their prefix and their taps.
      trace: the reference's frames, on which both run.
      choices: what is tried, beside ways of compiling, to explain a difference.
      grouping: how taps are told apart where the same is seen in many rows.

    Raises:
      RequestError: a piece can't be traced or replayed.
    """
    differing = differing_taps(ours, reference, trace, progress)
    pieces = _by_taps(reference.stages)
    found = Explanation([], True)
    covered: set[tuple[str, str]] = set()
    for own in ours.stages:
        taps = [name.removeprefix(own.prefix) for name in differing if own.has(name)]
        fresh = {(own.kind, tap) for tap in taps} - covered
        if not fresh:
            continue
        covered |= fresh
        label = own.prefix.rstrip("./") or own.kind
        theirs = pieces.get((own.prefix, own.taps))
        if theirs is None:
            found.notes.append(f"{label}: differs, and the reference has no piece of these taps")
            continue
        progress(f"{label}: replaying, it differs at {', '.join(taps)}")
        region = _Region(own, theirs, trace, choices)
        findings, same = region.findings()
        found.same_formula = same if found.same_formula is None else found.same_formula and same
        found.faithful = found.faithful or region.faithful()
        progress(f"{label}: searching what explains {len(findings or [])} departing operations")
        for cause in grouped(findings or []):
            tap = (cause.findings[0].leads_to or "").strip("[]'")
            cause.attribution = region.attribution(tap, cause.kind)
            cause.elsewhere = _elsewhere(tap, ours.stages, differing, grouping)
            found.causes.append(cause)
        if findings is None:
            found.notes.append(f"{label}: both round nearly everywhere; no statement is to blame")
        elif not findings:
            tried = region.attribution(None, "rounding")
            found.notes.append(f"{label}: each operation alone agrees. {tried}")
    found.causes = _merged(found.causes)
    found.agrees = not differing
    return found


def differing_taps(ours: Side, reference: Side, trace: Trace, progress: Progress) -> list[str]:
    """Full names of the taps that differ where every tap passes on the reference's value."""
    control, own = reference.injected(trace, "taps"), ours.injected(trace, "taps")
    if control is None or own is None:
        return []
    names: list[str] = []
    with recorded(control, progress) as frames:
        progress(f"{own.label}: compiling, running and comparing")
        own.run(DiffSink(frames, None, lambda name, *_: names.append(name)))
    return names


def _merged(causes: Sequence[Cause]) -> list[Cause]:
    """One cause per statement; the first piece at which it was seen speaks for it."""
    merged: dict[tuple[str, int], Cause] = {}
    for cause in causes:
        merged.setdefault(cause.where.place, cause)
    return list(merged.values())


def _elsewhere(
    tap: str, stages: Sequence[Stage], differing: Sequence[str], grouping: GroupingRule
) -> str:
    """In which rows the same tap differs: `seen at mlp.gate of 2 blocks: 0, 3`."""
    names = [stage.prefix + tap for stage in stages if stage.prefix + tap in differing]
    if not tap or not names:
        return f"seen at {tap}" if tap else ""
    rows = grouping(names)
    labels = list(dict.fromkeys(rows.row(name) for name in names))
    if labels == names:
        return f"seen at {', '.join(labels)}"
    if len(labels) < 2:
        return f"seen at {tap} of {rows.noun} {labels[0]}"
    shown = ", ".join(labels[:8]) + (", …" if len(labels) > 8 else "")
    plural = rows.noun if rows.noun.endswith("s") else f"{rows.noun}s"
    return f"seen at {tap} of {len(labels)} {plural}: {shown}"


class _Region:
    """One piece of both sides, every tap of which passes on the reference's value."""

    def __init__(self, own: Stage, theirs: Stage, trace: Trace, choices: Choices | None) -> None:
        self._stages = own, theirs
        self._arguments = [stage_arguments(stage, trace, "taps") for stage in self._stages]
        self._choices = choices

    def findings(self) -> tuple[list[Finding] | None, bool]:
        """Departures, and whether the formulas are the same; None where both round everywhere."""
        own, theirs = map(_taps_of, self._stages)
        held, _ = in_float64(own, theirs, self._arguments[0])
        if held is not None and not held.alike:
            return (None if held.same else held.findings), held.same
        same = held is not None and held.same
        kind: Kind = "rounding" if held is None or same else "formula"
        own_graph, their_graph = self._replayed()
        return find(own_graph, their_graph, kind), same

    def faithful(self) -> Faithfulness:
        """Of a fresh replay, since finding departures undoes them."""
        own, theirs = map(_taps_of, self._stages)
        return faithfulness(own, theirs, self._arguments[0], *self._replayed())

    def _replayed(self) -> list[Graph]:
        sides = zip(self._stages, self._arguments, ("ours", "the reference"), strict=True)
        return [replay(_taps_of(stage), given, label) for stage, given, label in sides]

    def attribution(self, tap: str | None, kind: str) -> Attribution | None:
        """Search the choices, and for rounding ways of compiling, at one tap or at all.

        None where there is nothing to try.
        """
        own, theirs = (_taps_of(stage, tap) for stage in self._stages)
        given, rounding = self._arguments[0], kind == "rounding"
        if self._choices is None:
            return attribute(own, theirs, given) if rounding else None
        changes = self._choices.changes

        def combine(chosen: Sequence[Choice]) -> Fn:
            return self._changed({k: v for c in chosen for k, v in changes[c.name].items()}, tap)

        choices = [Choice(name, self._changed(change, tap)) for name, change in changes.items()]
        return attribute(own, theirs, given, choices, combine, compiling=rounding)

    def _changed(self, changes: Mapping[str, Any], tap: str | None) -> Fn:
        """Our piece with some changes."""
        assert self._choices is not None
        own = self._stages[0]
        return _taps_of(_by_taps(self._choices.stages(changes))[own.prefix, own.taps], tap)


def _by_taps(stages: Sequence[Stage]) -> dict[tuple[str, tuple[str, ...] | None], Stage]:
    return {(stage.prefix, stage.taps): stage for stage in stages}


def _taps_of(stage: Stage, tap: str | None = None) -> Fn:
    """A piece as a function that returns its taps by name, or one of them if it has it."""
    fn = collecting(injecting(stage.fn))

    def taps(*args: Any) -> Any:
        values = fn(*args)[1]
        return {tap: values[tap]} if tap in values else values

    return taps
