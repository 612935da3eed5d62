"""The pipeline, the same for every subject: record, compare, and judge what differs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parity.arrays.metrics import Metrics
from parity.sides.side import Side
from parity.trace.frames import Trace
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import check_comparable
from parity.verdict.evidence import Evidence
from parity.verdict.noise import floor_here, floor_in_processes, floor_line, widest
from parity.verdict.plan import SCOPES, Candidate, Held, Options, Plan
from parity.verdict.run import Certificate, certificate, compare_candidate, recorded

Progress = Callable[[str], None]


def compare(
    plan: Plan, options: Options | None = None, progress: Progress = lambda _: None
) -> tuple[Comparison, list[Certificate]]:
    """Run the references and all that is held against them; returns what was certified too.

    Raises:
      RequestError: the runs can't be compared, or a reference is not usable.
    """
    runner = _Runner(plan, Options() if options is None else options, progress)
    columns = [column for held in plan.held for column in runner.against(held)]
    manifests = runner.manifests
    comparison = Comparison(
        manifest=_report_manifest(plan, manifests),
        columns=columns,
        environment=_environment_differences(plan.manifest, manifests[0]),
        blind_spots=plan.blind_spots,
        notes=[*plan.notes, *runner.notes, *map(str, runner.certificates)],
        allow=plan.allow,
        rule=plan.rule,
    )
    return comparison, runner.certificates


class _Runner:
    def __init__(self, plan: Plan, options: Options, progress: Progress) -> None:
        self.manifests: list[Manifest] = []
        self.certificates: list[Certificate] = []
        self.notes: list[str] = []
        self._plan = plan
        self._options = options
        self._progress = progress

    def against(self, held: Held) -> list[Column]:
        """A judged column per candidate."""
        options = self._options
        with contextlib.ExitStack() as stack:
            reference = stack.enter_context(held.reference())
            check_comparable(self._plan.manifest, reference.manifest)
            trace = stack.enter_context(recorded(reference, self._progress))
            self.manifests.append(reference.manifest)
            if held.note is not None:
                self.notes.append(held.note(reference.manifest))
            if options.certify:
                self._certify(reference)
            floor = self._floor(held, reference, trace) if options.repeat else {}
            reference.release()
            self.notes += reference.notes
            judges = _Judges(
                held, reference, trace, floor, self._plan, options, self._progress, stack
            )
            columns: list[Column] = []
            for candidate in held.candidates:
                column = self._column(candidate, reference, trace, judges, not columns)
                columns.append(column)
            self.notes += judges.notes
        return columns

    def _column(
        self, candidate: Candidate, reference: Side, trace: Trace, judges: _Judges, first: bool
    ) -> Column:
        column, side = compare_candidate(
            trace, reference.unavailable, candidate, self._progress, self._plan.lacking
        )
        if self._options.certify and first:
            self._certify(side)
        if self._options.inject != "auto" or column.first_divergence is not None:
            column = judges.of(column, side).examine(column, side)
        return column

    def _certify(self, side: Side) -> None:
        proof = certificate(side, self._progress)
        if proof is not None:
            self.certificates.append(proof)

    def _floor(self, held: Held, reference: Side, trace: Trace) -> Mapping[str, Metrics]:
        """Of both sides; in processes of their own where kernels are chosen by timing them."""
        repeat, progress = self._options.repeat, self._progress
        floors = []
        with contextlib.ExitStack() as stack:
            pairs = [(reference, trace)]
            if held.ours is not None:
                ours = held.ours()
                pairs.append((ours, stack.enter_context(recorded(ours, progress))))
            if held.alone is None:
                floors = [floor_here(side, first, repeat, progress) for side, first in pairs]
            else:
                floors = [
                    floor_in_processes(arguments, first, repeat, progress)
                    for arguments, (_, first) in zip(held.alone, pairs, strict=True)
                ]
        floor = functools.reduce(widest, floors)
        self.notes.append(floor_line(floor, repeat, self._plan.manifest.backend))
        return floor


class _Judges:
    """Evidence for columns, shared by those that lack the same taps.

    A tap that a candidate hasn't must not be injected on the other side either.
    """

    def __init__(
        self,
        held: Held,
        reference: Side,
        trace: Trace,
        floor: Mapping[str, Metrics],
        plan: Plan,
        options: Options,
        progress: Progress,
        stack: contextlib.ExitStack,
    ) -> None:
        self._made: dict[frozenset[str], Evidence] = {}
        self._trace = trace
        self._stack = stack
        self._plan = plan
        self._evidence = functools.partial(
            Evidence,
            reference,
            formula=lambda: held.formula(reference),
            scopes=SCOPES[options.inject] if plan.injectable else (),
            dtype=options.oracle,
            floor=floor,
            progress=progress,
        )

    def of(self, column: Column, side: Side) -> Evidence:
        compared = {tap.tap for tap in column.taps if tap.metrics is not None}
        lacking = frozenset(spec.name for spec in self._trace.specs if spec.name not in compared)
        lacking |= frozenset(side.unavailable)
        if lacking not in self._made:
            shared = self._trace.without(lacking)
            boundaries = self._plan.rule([spec.name for spec in shared.specs]).boundaries
            self._made[lacking] = self._stack.enter_context(
                self._evidence(shared, boundaries=boundaries)
            )
        return self._made[lacking]

    @property
    def notes(self) -> Sequence[str]:
        found = [note for evidence in self._made.values() for note in evidence.notes]
        return [*dict.fromkeys(found)]


def _report_manifest(plan: Plan, references: Sequence[Manifest]) -> dict[str, Any]:
    ours = plan.manifest
    versions = [manifest.versions for manifest in (ours, *references)]
    return {
        **{k: v for k, v in ours.to_json().items() if k != "source"},
        "versions": {name: version for each in versions for name, version in each.items()},
        **plan.facts,
        "reference": ", ".join(manifest.source for manifest in references),
    }


def _environment_differences(ours: Manifest, reference: Manifest) -> list[str]:
    def shown(manifest: Manifest, name: str) -> Any:
        value = manifest.to_json()[name]
        if name == "versions":  # those that one side alone needs don't make a difference
            other = (ours if manifest is reference else reference).versions
            return {k: v for k, v in value.items() if k in other}
        return value

    return [
        f"{name} differ: reference {shown(reference, name)}, ours {shown(ours, name)}"
        for name in reference.environment_differences(ours)
        if shown(reference, name) != shown(ours, name)
    ]
