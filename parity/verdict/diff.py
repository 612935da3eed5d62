"""Two traces -> a column of a Comparison: a status and figures for each tap."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from parity.arrays.logits import Impact, logits_impact
from parity.arrays.metrics import compare_arrays
from parity.arrays.profile import profile
from parity.errors import RequestError
from parity.trace.frames import Frame, FrameSpec, Trace
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column
from parity.verdict.status import UNEXAMINED
from parity.verdict.taps import Status, TapDiff

# The last word of the tap of a model's logits, judged by the tokens that they choose.
LOGITS = "logits"
# How frames of what a function returns are called.
_OUTPUTS = ("output", "returned")


class DiffSink:
    """Compares a run with a reference trace as it arrives; keeps figures, no frames.

    Args:
      unavailable: taps that a side can't yield, each with the reason.
      on_difference: called with name, own and reference's array of each tap whose bits differ.
      profiled: also keep the shape of each difference, for reports.
      lacking: status of a tap that only the reference has.
    """

    def __init__(
        self,
        reference: Trace,
        unavailable: Mapping[str, str] | None = None,
        on_difference: Callable[[str, np.ndarray, np.ndarray], None] | None = None,
        *,
        profiled: bool = False,
        lacking: Status = "missing",
    ) -> None:
        self._lacking = lacking
        self._reference = reference
        self._unavailable = dict(unavailable or {})
        self._on_difference = on_difference
        self._profiled = profiled
        tokens = reference.manifest.tokens
        self._tokens = (len(tokens), len(tokens[0])) if tokens else None
        self._rows: list[TapDiff] = []
        self._impact: Impact | None = None

    def begin(self, specs: Sequence[FrameSpec]) -> None:
        del specs
        self._rows, self._impact = [], None

    def put(self, frame: Frame) -> None:
        name = frame.spec.name
        if name in self._reference:
            reference = self._reference[name]
            row = diff_arrays(name, frame.value, reference)
            if self._profiled and row.metrics is not None and row.metrics.mismatched:
                shape = profile(frame.value, reference, row.metrics.mismatched, self._tokens)
                row = dataclasses.replace(row, profile=shape)
            self._rows.append(row)
            if row.status == "unjudged":
                if name.rsplit(".", 1)[-1] == LOGITS and frame.value.ndim:
                    self._impact = logits_impact(frame.value, reference)
                if self._on_difference is not None:
                    self._on_difference(name, frame.value, reference)
        else:
            reason = self._unavailable.get(name, "the reference did not record it")
            self._rows.append(TapDiff(name, "not_compared", reason))

    def column(self, name: str, fields: Mapping[str, Any] | None = None) -> Column:
        """The figures of the run, and a row for each tap that only the reference has."""
        present = {row.tap for row in self._rows}
        missing = [
            TapDiff(spec.name, "not_compared", self._unavailable[spec.name])
            if spec.name in self._unavailable
            else self._absent(spec.name)
            for spec in self._reference.specs
            if spec.name not in present
        ]
        return Column(name, dict(fields or {}), [*self._rows, *missing], self._impact)

    def _absent(self, name: str) -> TapDiff:
        """A tap that only the reference has; an output must not be lacking."""
        status = "missing" if name.split(".")[0] in _OUTPUTS else self._lacking
        return TapDiff(name, status, "recorded by the reference only")


def diff_arrays(tap: str, ours: np.ndarray, reference: np.ndarray) -> TapDiff:
    """One pair's figures, and its status as far as they tell."""
    if reference.shape != ours.shape:
        reason = f"expected {list(reference.shape)}, got {list(ours.shape)}"
        return TapDiff(tap, "shape", reason)
    if reference.dtype != ours.dtype:
        return TapDiff(tap, "dtype", f"expected {reference.dtype}, got {ours.dtype}")
    metrics = compare_arrays(ours, reference)
    if metrics.nonfinite:
        reason = f"{metrics.nonfinite} of the mismatched elements are Inf or NaN on a side"
        return TapDiff(tap, "nonfinite", reason, metrics)
    if metrics.mismatched:
        return TapDiff(tap, "unjudged", UNEXAMINED, metrics)
    return TapDiff(tap, "identical", "", metrics)


def diff_traces(
    ours: Trace, reference: Trace, name: str = "ours", fields: Mapping[str, Any] | None = None
) -> Column:
    """Compare two traces frame by frame, in the execution order of `ours`.

    Raises:
      RequestError: they are of other tokens, weights or models, or have no tap in common.
    """
    check_comparable(ours.manifest, reference.manifest)
    sink = DiffSink(reference, profiled=True)
    sink.begin(ours.specs)
    for frame in ours.frames():
        sink.put(frame)
    column = sink.column(name, fields)
    check_common(column, reference, ours.specs)
    return column


def check_common(column: Column, reference: Trace, specs: Sequence[FrameSpec]) -> None:
    """Refuse a comparison of nothing: a tap in common is compared, if only in shape and dtype.

    Raises:
      RequestError: no tap of ours has the name of one of the reference's.
    """
    if not any(spec.name in reference for spec in specs):
        raise RequestError(
            f"{column.name} and the reference have no tap in common: it has "
            f"{_names(specs)}, the reference {_names(reference.specs)}; "
            "pair them by names={ours: theirs}"
        )


def _names(specs: Sequence[FrameSpec]) -> str:
    shown = ", ".join(repr(spec.name) for spec in specs[:2])
    return f"{len(specs)} ({shown}{', …' if len(specs) > 2 else ''})"


def check_comparable(ours: Manifest, reference: Manifest) -> None:
    """Refuse a comparison that would mean nothing.

    Raises:
      RequestError: naming the manifest fields that differ.
    """
    conflicts = reference.conflicts(ours)
    if conflicts:
        found = "; ".join(
            f"{name}: {theirs} against {own}"
            for name in conflicts
            for theirs, own in [_briefly(getattr(reference, name), getattr(ours, name))]
        )
        raise RequestError(f"these runs can't be compared, the reference differs in {found}")


def _briefly(reference: object, ours: object) -> tuple[str, str]:
    """Two values that differ; of mappings what differs in them."""
    if isinstance(reference, Mapping) and isinstance(ours, Mapping):
        keys = [k for k in {**reference, **ours} if reference.get(k) != ours.get(k)]
        reference, ours = ({k: side.get(k) for k in keys} for side in (reference, ours))
    return _brief(reference), _brief(ours)


def _brief(value: object, width: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= width else f"{text[:width]}…"
