"""jaxformer against the official package, explained: what `python -m parity.explain` does.

Stages whose taps differ are found by running each on the reference's values. Of those only
the first of its kind is replayed operation by operation; it stands for others that differ at its
taps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jaxformer.numerics import NUMERICS_CHOICES, NUMERICS_PROFILES, Numerics
from parity.explain.attribution import Attribution, Choice, attribute
from parity.explain.explanation import Cause, Explanation, grouped
from parity.explain.faithful import Faithfulness, faithfulness
from parity.explain.findings import Finding
from parity.explain.graph import Graph, replay
from parity.explain.search import find
from parity.program.oracle import collecting
from parity.program.stages import Stage, injecting, stage_arguments
from parity.subjects.gemma.inputs import Inputs
from parity.subjects.variants import Variant
from parity.trace.frames import Trace
from parity.verdict.diff import DiffSink
from parity.verdict.run import recorded

Progress = Callable[[str], None]


def explain_variant(inputs: Inputs, variant: Variant, progress: Progress) -> Explanation:
    """Every statement at which jaxformer, with a variant's numerics, departs from the package.

    Raises:
      UsageError: the package is not usable.
    """
    official, ours = inputs.official(), inputs.ours(variant)
    with recorded(official, progress) as reference:
        official.release()
        differing = _differing_taps(official, ours, reference, progress)
        causes: list[Cause] = []
        notes: list[str] = []
        covered: set[tuple[str, str]] = set()
        faithful = None
        for theirs, own in zip(official.stages, ours.stages, strict=True):
            taps = [name.removeprefix(own.prefix) for name in differing if own.has(name)]
            fresh = {(own.kind, tap) for tap in taps} - covered
            if not fresh:
                continue
            covered |= fresh
            label = own.prefix.rstrip(".") or own.kind
            progress(f"{label}: replaying, it differs at {', '.join(taps)}")
            region = _Region(theirs, own, reference)
            found = region.findings()
            faithful = faithful or region.faithful()
            progress(f"{label}: searching what explains {len(found)} departing operations")
            for cause in grouped(found):
                cause.attribution = region.attribution(cause.findings[0], inputs, variant)
                cause.elsewhere = _elsewhere(region.tap_after(cause.findings[0]), differing)
                causes.append(cause)
            if not found:
                explained = region.attribution(None, inputs, variant)
                notes.append(f"{label}: each operation alone agrees. {explained}")
    return Explanation(_merged(causes), not causes and not notes, faithful, notes)


def _differing_taps(official: Any, ours: Any, reference: Trace, progress: Progress) -> list[str]:
    with recorded(official.injected(reference, "taps"), progress) as control:
        names: list[str] = []
        sink = DiffSink(control, None, lambda name, *_: names.append(name))
        source = ours.injected(reference, "taps")
        progress(f"{source.label}: compiling, running and comparing")
        source.run(sink)
    return names


def _merged(causes: Sequence[Cause]) -> list[Cause]:
    """One cause per statement; the first stage at which it was seen speaks for it."""
    merged: dict[tuple[str, int], Cause] = {}
    for cause in causes:
        merged.setdefault(cause.where.place, cause)
    return list(merged.values())


def _elsewhere(tap: str, differing: Sequence[str]) -> str:
    blocks = [name.split(".")[1] for name in differing if name.endswith(f".{tap}")]
    if len(blocks) < 2:
        return f"seen at {tap} of block {blocks[0]}" if blocks else f"seen at {tap}"
    shown = ", ".join(blocks[:8]) + (", …" if len(blocks) > 8 else "")
    return f"seen at {tap} of {len(blocks)} blocks: {shown}"


class _Region:
    """One stage of both sides, every tap of which passes on the reference's value."""

    def __init__(self, theirs: Stage, own: Stage, reference: Trace) -> None:
        self._stages = theirs, own
        self._arguments = [stage_arguments(stage, reference, "taps") for stage in (theirs, own)]
        self._graphs: list[Graph] = []

    def _functions(self) -> list[Callable[..., Any]]:
        """The taps of either side, by name."""
        fns = [collecting(injecting(stage.fn)) for stage in self._stages]
        return [lambda *args, fn=fn: fn(*args)[1] for fn in fns]

    def findings(self) -> list[Finding]:
        sides = zip(self._functions(), self._arguments, ("the reference", "ours"), strict=True)
        self._graphs = [replay(fn, arguments, label) for fn, arguments, label in sides]
        theirs, own = self._graphs
        self._taps = {id(value): name.strip("[]'") for name, value in own.outputs.items()}
        return find(own, theirs)

    def faithful(self) -> Faithfulness:
        """Of a fresh replay, since finding departures undoes them."""
        theirs, own = self._functions()
        arguments = self._arguments[1]
        graphs = replay(own, arguments, "ours"), replay(theirs, self._arguments[0], "the reference")
        return faithfulness(own, theirs, arguments, *graphs)

    def tap_after(self, finding: Finding) -> str:
        """The first tap whose value depends on the operation."""
        graph = self._graphs[1]
        reached = {id(v) for v in finding.node.outputs}
        for value in finding.node.outputs:
            if id(value) in self._taps:
                return self._taps[id(value)]
        for node in graph.nodes[finding.node.index + 1 :]:
            if any(id(v) in reached for v in node.inputs):
                for value in node.outputs:
                    reached.add(id(value))
                    if id(value) in self._taps:
                        return self._taps[id(value)]
        return "no tap"

    def attribution(self, finding: Finding | None, inputs: Inputs, variant: Variant) -> Attribution:
        """Search the numerics fields and ways of compiling, at the tap after the operation."""
        tap = None if finding is None else self.tap_after(finding)

        def narrowed(stage: Stage) -> Callable[..., Any]:
            fn = collecting(injecting(stage.fn))

            def taps(*args: Any) -> Any:
                values = fn(*args)[1]
                return values if tap is None or tap not in values else {tap: values[tap]}

            return taps

        def with_changes(changes: dict[str, Any]) -> Callable[..., Any]:
            changed = Variant(variant.name, {**variant.fields, **changes})
            stages = inputs.ours(changed).stages
            own = self._stages[1]
            same = next(s for s in stages if (s.prefix, s.taps) == (own.prefix, own.taps))
            return narrowed(same)

        current = inputs.config_of(variant).numerics
        fields = [(f, v) for f in NUMERICS_CHOICES for v in _values(f) if _possible(current, f, v)]
        choices = [Choice(f"{f}={v}", with_changes({f: v})) for f, v in fields]
        changes = {f"{f}={v}": {f: v} for f, v in fields}

        def combine(chosen: Sequence[Choice]) -> Callable[..., Any]:
            return with_changes({k: v for c in chosen for k, v in changes[c.name].items()})

        theirs, own = self._stages
        return attribute(narrowed(own), narrowed(theirs), self._arguments[1], choices, combine)


def _possible(current: Numerics, field: str, value: Any) -> bool:
    """Whether it is a change that our side accepts, and that could bring it to a reference.

    No reference has the fast formulation, which is ours alone.
    """
    if value in (getattr(current, field), "fast"):
        return False
    try:
        dataclasses.replace(current, **{field: value})
    except ValueError:
        return False
    return True


def _values(field: str) -> list[Any]:
    """What a field can be, the official value first, then that of transformers."""
    profiles = [getattr(NUMERICS_PROFILES[name], field) for name in ("official", "hf")]
    return list(dict.fromkeys([*profiles, *(NUMERICS_CHOICES[field] or ())]))
