"""Judge a column: what each block and each stage makes of the reference's values, and how well.

Everything that only the reference has a part in is made once, when the first column needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from parity.arrays.accuracy import Accuracy, accuracy, share_of_bound
from parity.arrays.metrics import Metrics
from parity.program.bounds import Bounds
from parity.program.jaxprs import EvaluationError
from parity.program.oracle import Oracle, OracleDType
from parity.program.stages import Scope, Stage
from parity.sides.side import Side
from parity.trace.frames import Trace
from parity.verdict.comparison import Column
from parity.verdict.diff import DiffSink
from parity.verdict.formula import Formula, exceeds
from parity.verdict.noise import Floor
from parity.verdict.run import recorded
from parity.verdict.status import judged
from parity.verdict.taps import StageError, TapDiff

_Pair = tuple[np.ndarray, np.ndarray]


class Evidence:
    """Controls, oracle and bounds of one reference; a context manager.

    Args:
      source: the reference, to run it on its own values as a control: what ours makes of them is
        compared with what the reference makes of them. One that can't run so has its trace
        for a control.
      reference: its trace.
      formula: gives a side with the reference's formula and stages, for the oracle, or None.
      scopes: which injections to run.
      dtype: of the oracle; None for no oracle.
      floor: the largest self-difference of a side, by tap.
      boundaries: taps at which rows meet, for sides that are one piece.
    """

    def __init__(
        self,
        source: Side,
        reference: Trace,
        formula: Callable[[], Side | None],
        *,
        scopes: Sequence[Scope],
        dtype: OracleDType | None,
        progress: Callable[[str], None],
        floor: Floor | None = None,
        boundaries: frozenset[str] = frozenset(),
    ) -> None:
        self.notes: list[str] = []
        self._floor = floor or {}
        self._boundaries = boundaries
        self._source = source
        self._reference = reference
        self._scopes = scopes
        self._progress = progress
        self._formula = formula
        self._dtype = dtype
        self._stages: Sequence[Stage] = ()
        self._oracle: Oracle | None = None
        self._bounds: Bounds | None = None
        self._free: Trace | None = None
        self._controls: dict[Scope, Trace] = {}
        self._kernels: Trace | None = None
        self._truths: dict[str, tuple[dict[str, np.ndarray], dict[str, _Pair]]] = {}
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def examine(self, column: Column, candidate: Side) -> Column:
        """The column with local errors, accuracies, statuses and reasons.

        Where the oracle can't evaluate a program, statuses are given without one, and `notes` says
        so.
        """
        try:
            return self._examined(column, candidate)
        except EvaluationError as error:
            self.notes.append(f"no oracle: {error}")
            self._dtype = self._oracle = None
            return self._examined(column, candidate)

    def _examined(self, column: Column, candidate: Side) -> Column:
        taps = {
            tap.tap: dataclasses.replace(tap, floor=self._floor.get(tap.tap)) for tap in column.taps
        }
        self._prepare()
        if self._oracle is not None and column.first_divergence is not None:
            for name, free in self._accuracies(candidate).items():
                taps[name] = dataclasses.replace(taps[name], accuracy=free)
        if "taps" in self._scopes:
            for name, stage in self._stage_errors(candidate).items():
                if name in taps:
                    taps[name] = dataclasses.replace(taps[name], stage=stage)
        if "blocks" in self._scopes:
            for name, local in self._locals(candidate, taps):
                if name in taps:
                    taps[name] = dataclasses.replace(taps[name], local=local)
        return dataclasses.replace(column, taps=judged(list(taps.values())))

    def _locals(
        self, candidate: Side, taps: Mapping[str, TapDiff]
    ) -> Iterable[tuple[str, Metrics]]:
        """Made in a tap's row; where each tap is a row of its own, made at the tap."""
        if "taps" in self._scopes and self._boundaries >= {s.name for s in self._reference.specs}:
            return [(name, tap.stage.metrics) for name, tap in taps.items() if tap.stage]
        return self._run(candidate, "blocks", DiffSink(self.control("blocks")))

    def _prepare(self) -> None:
        if self._oracle is None and self._dtype is not None:
            formula = self._formula()
            self._stages = formula.stages if formula else ()
            if not self._stages:
                self._dtype = None
                self.notes.append(
                    "no oracle: the reference is a recorded run; hold ours against its function, "
                    "and what differs is judged"
                )
            else:
                self._oracle, self._bounds = Oracle(self._stages, self._dtype), Bounds(self._dtype)

    def control(self, scope: Scope) -> Trace:
        """The reference's trace under the same injection.

        Like is so compared with like: in float32 XLA rounds a stage differently when the stage
        before is not compiled into it.
        """
        if scope not in self._controls:
            again = self._source.injected(self._reference, scope, self._boundaries)
            if again is None:
                return self._reference
            self._controls[scope] = self._held.enter_context(recorded(again, self._progress))
            again.release()
        return self._controls[scope]

    def _run(self, candidate: Side, scope: Scope, sink: DiffSink) -> list[tuple[str, Metrics]]:
        source = candidate.injected(self._reference, scope, self._boundaries)
        if source is None:
            return []
        self._progress(f"{source.label}: compiling, running and comparing")
        source.run(sink)
        column = sink.column(candidate.label)
        return [(tap.tap, tap.metrics) for tap in column.taps if tap.metrics is not None]

    def _accuracies(self, candidate: Side) -> dict[str, Accuracy]:
        """Of each differing tap as it ran, against the oracle as it ran."""
        assert self._oracle is not None
        if self._free is None:
            self._progress(f"oracle: {self._dtype}, {len(self._stages)} stages")
            self._free = self._oracle.free()
        truth, found = self._free, {}

        def on_difference(name: str, ours: np.ndarray, reference: np.ndarray) -> None:
            if name in truth and truth[name].shape == reference.shape:
                found[name] = accuracy(truth[name], ours, reference)

        candidate.run(DiffSink(self._reference, None, on_difference))
        return found

    def _stage_errors(self, candidate: Side) -> dict[str, StageError]:
        different: dict[str, _Pair] = {}

        def on_difference(name: str, ours: np.ndarray, reference: np.ndarray) -> None:
            different[name] = (ours, reference)

        sink = DiffSink(self.control("taps"), None, on_difference)
        whole = all(stage.whole for stage in (*candidate.stages, *self._source.stages))
        errors = {
            name: StageError(metrics, whole=whole)
            for name, metrics in self._run(candidate, "taps", sink)
        }
        if self._oracle is None or self._dtype is None:
            return errors
        ours = Formula(candidate.stages, self._dtype)
        kernels = self._on_our_kernels(different)
        if different:
            self._progress(f"{candidate.label}: judging {len(different)} taps by the oracle")
        for stage in self._stages:
            names = [name for name in different if stage.has(name)]
            if not names:
                continue
            truths, bounds = self._truth(stage)
            own = ours.of(stage, self._reference)
            for name in names:
                pair, (limit, ideal_limit) = different[name], bounds[name]
                share = None
                if own is not None and name in own.values:
                    share = share_of_bound(truths[name], own.values[name], ideal_limit)
                bound_share = share_of_bound(*pair, limit)
                if own is not None and share is not None and share <= 1 and exceeds(bound_share):
                    bound_share = share_of_bound(*pair, (limit + own.limit(name)) / 2)
                twin = kernels.get(name)
                errors[name] = dataclasses.replace(
                    errors[name],
                    kernels=None if twin is None else accuracy(truths[name], pair[0], twin),
                    bound_share=bound_share,
                    formula_share=share,
                    accuracy=accuracy(truths[name], *pair),
                    unruled=tuple(sorted(self._unruled(name))),
                )
        return errors

    def _unruled(self, name: str) -> frozenset[str]:
        return frozenset() if self._bounds is None else self._bounds.unknown.get(name, frozenset())

    def _on_our_kernels(self, different: Mapping[str, _Pair]) -> Mapping[str, np.ndarray]:
        """What the formula makes of a stored reference's values here, of differing float32 taps.

        Another framework sums in another order: in float32 its kernels may err less than XLA's,
        with the same formula. In bfloat16 sums are rounded far above that.
        """
        stored = not self._source.stages
        wide = [name for name, (own, _) in different.items() if own.dtype == np.float32]
        formula = self._formula() if stored and wide else None
        again = formula.injected(self._reference, "taps") if formula else None
        if again is None:
            return {}
        if self._kernels is None:
            self._kernels = self._held.enter_context(recorded(again, self._progress))
            again.release()
        return {name: self._kernels[name] for name in wide if name in self._kernels}

    def _truth(self, stage: Stage) -> tuple[dict[str, np.ndarray], dict[str, _Pair]]:
        assert self._oracle is not None
        assert self._bounds is not None
        key = stage.prefix or stage.kind
        if key not in self._truths:
            values = self._oracle.on(stage, self._reference)
            self._truths[key] = values, self._bounds.on(stage, self._reference)
        return self._truths[key]
