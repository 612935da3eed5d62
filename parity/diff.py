"""Two traces -> a Comparison: a row per tap and column, and where each column first departs."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from parity.errors import RequestError
from parity.impact import Impact, logits_impact
from parity.metrics import Metrics, compare_arrays
from parity.trace import Frame, FrameSpec, Manifest, Trace

if TYPE_CHECKING:
    import pandas as pd

# identical     every bit is the same
# different     some element's bits differ, all of those finite on both sides
# nonfinite     some differing element is Inf or NaN on a side
# shape, dtype  the two arrays can't be compared element by element
# missing       the reference recorded this tap, this column did not
# not_compared  the reference can't yield this tap
Status = Literal["identical", "different", "nonfinite", "shape", "dtype", "missing", "not_compared"]
# The tap of the model's logits, whose differences are judged by the tokens that they choose.
LOGITS = "logits"
COMPARED: frozenset[Status] = frozenset(("identical", "different", "nonfinite"))
_METRIC_NAMES = tuple(f.name for f in dataclasses.fields(Metrics))
_HARMLESS: frozenset[Status] = frozenset(("identical", "not_compared"))


@dataclass(frozen=True)
class TapDiff:
    """One tap of one column.

    Attributes:
      metrics: of the column as it ran (`free`); None where nothing could be compared.
      local: of the same on the reference's own values at the input; None where that was not run.
    """

    tap: str
    status: Status
    reason: str = ""
    metrics: Metrics | None = None
    local: Metrics | None = None

    @property
    def block(self) -> int | None:
        """The block that the tap's name places it in."""
        found = re.match(r"blocks\.(\d+)\.", self.tap)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class Column:
    """One candidate held against the reference.

    Attributes:
      fields: the numerics fields in which it departs from `ours`.
      taps: in execution order; those that only the reference has stand last.
      impact: of other logits, where both sides have logits and they differ.
    """

    name: str
    fields: Mapping[str, Any]
    taps: Sequence[TapDiff]
    impact: Impact | None = None

    @property
    def first_divergence(self) -> TapDiff | None:
        """The first tap, in execution order, at which parity fails."""
        return next((tap for tap in self.taps if tap.status not in _HARMLESS), None)

    @property
    def compared(self) -> int:
        return sum(tap.status in COMPARED for tap in self.taps)

    @property
    def injected(self) -> bool:
        """Local errors were measured."""
        return any(tap.local is not None for tap in self.taps)

    @property
    def first_local(self) -> TapDiff | None:
        """The first tap at which an error is made, given the reference's values before it."""
        return next((tap for tap in self.taps if tap.local and tap.local.mismatched), None)

    def tap(self, name: str) -> TapDiff | None:
        return next((tap for tap in self.taps if tap.tap == name), None)

    def with_local(self, injected: Column) -> Column:
        """This column with the figures of its run on the reference's values as local errors."""
        local = {tap.tap: tap.metrics for tap in injected.taps}
        taps = [dataclasses.replace(tap, local=local.get(tap.tap)) for tap in self.taps]
        return dataclasses.replace(self, taps=taps)


@dataclass(frozen=True)
class Comparison:
    """Everything one report shows.

    Attributes:
      manifest: where the figures come from.
      columns: one per candidate; the first is the one under test.
      environment: in what else than the code the two sides differ; read before any figure.
      blind_spots: faults that this input can't show.
      notes: certificates.
    """

    manifest: Mapping[str, Any]
    columns: Sequence[Column]
    environment: Sequence[str] = ()
    blind_spots: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """The first column, the one under test, has no divergence, and something was compared."""
        ours = self.columns[0]
        return ours.first_divergence is None and ours.compared > 0

    def to_frame(self) -> pd.DataFrame:
        """Tidy table, a row per column and tap: column, index, tap, block, status, reason, metrics.

        Figures that don't exist are NA.
        """
        import pandas as pd

        frame = pd.DataFrame(
            [
                {"column": column.name, **row}
                for column in self.columns
                for row in _tap_rows(column.taps)
            ]
        )
        whole = ["block", "mismatched", "size", "max_ulp", "p99_ulp"]
        whole += ["local_mismatched", "local_max_ulp"]
        return frame.astype(dict.fromkeys(whole, "Int64"))

    def to_json(self) -> dict[str, Any]:
        """The document of `comparison.json`, schema 1; no NaN or Infinity in it."""
        return {
            "schema": 1,
            "manifest": dict(self.manifest),
            "environment": list(self.environment),
            "blind_spots": list(self.blind_spots),
            "notes": list(self.notes),
            "columns": [
                {
                    "name": column.name,
                    "fields": dict(column.fields),
                    "first_divergence": first.tap if (first := column.first_divergence) else None,
                    "compared": column.compared,
                    "impact": None if column.impact is None else impact_json(column.impact),
                    "taps": [_finite(row) for row in _tap_rows(column.taps)],
                }
                for column in self.columns
            ],
        }


class DiffSink:
    """Compares a run with a reference trace as it arrives; keeps figures, no frames.

    Args:
      unavailable: taps that the reference can't yield, each with the reason.
    """

    def __init__(self, reference: Trace, unavailable: Mapping[str, str] | None = None) -> None:
        self._reference = reference
        self._unavailable = dict(unavailable or {})
        self._rows: list[TapDiff] = []
        self._impact: Impact | None = None

    def begin(self, specs: Sequence[FrameSpec]) -> None:
        del specs
        self._rows, self._impact = [], None

    def put(self, frame: Frame) -> None:
        name = frame.spec.name
        if name in self._reference:
            reference = self._reference[name]
            row = diff_arrays(name, reference, frame.value)
            self._rows.append(row)
            if name == LOGITS and row.status == "different":
                self._impact = logits_impact(reference, frame.value)
        else:
            reason = self._unavailable.get(name, "the reference did not record it")
            self._rows.append(TapDiff(name, "not_compared", reason))

    def column(self, name: str, fields: Mapping[str, Any] | None = None) -> Column:
        """The figures of the run, and a row for each tap that only the reference has."""
        present = {row.tap for row in self._rows}
        missing = [
            TapDiff(spec.name, "missing", "recorded by the reference only")
            for spec in self._reference.specs
            if spec.name not in present
        ]
        return Column(name, dict(fields or {}), [*self._rows, *missing], self._impact)


def diff_arrays(tap: str, reference: np.ndarray, ours: np.ndarray) -> TapDiff:
    """One pair's status and figures."""
    if reference.shape != ours.shape:
        reason = f"expected {list(reference.shape)}, got {list(ours.shape)}"
        return TapDiff(tap, "shape", reason)
    if reference.dtype != ours.dtype:
        return TapDiff(tap, "dtype", f"expected {reference.dtype}, got {ours.dtype}")
    metrics = compare_arrays(reference, ours)
    if metrics.nonfinite:
        reason = f"{metrics.nonfinite} of the mismatched elements are Inf or NaN on a side"
        return TapDiff(tap, "nonfinite", reason, metrics)
    status: Status = "different" if metrics.mismatched else "identical"
    return TapDiff(tap, status, "", metrics)


def diff_traces(
    reference: Trace, ours: Trace, name: str = "ours", fields: Mapping[str, Any] | None = None
) -> Column:
    """Compare two traces frame by frame, in the execution order of `ours`.

    Raises:
      RequestError: they are of other tokens, weights or models, or have no tap in common.
    """
    check_comparable(reference.manifest, ours.manifest)
    sink = DiffSink(reference)
    sink.begin(ours.specs)
    for frame in ours.frames():
        sink.put(frame)
    column = sink.column(name, fields)
    if not column.compared:
        raise RequestError(
            f"the traces have no tap in common that can be compared; the reference has "
            f"{len(reference.specs)} taps, {name} has {len(ours.specs)}"
        )
    return column


def check_comparable(reference: Manifest, ours: Manifest) -> None:
    """Refuse a comparison that would mean nothing.

    Raises:
      RequestError: naming the manifest fields that differ.
    """
    conflicts = reference.conflicts(ours)
    if conflicts:
        found = "; ".join(
            f"{name}: {_brief(getattr(reference, name))} against {_brief(getattr(ours, name))}"
            for name in conflicts
        )
        raise RequestError(f"these runs can't be compared, the reference differs in {found}")


def inherited_error(tap: TapDiff) -> float | None:
    """Relative L2 error that came in with the input: free less local, in quadrature.

    That is exact where what is made here is orthogonal to what came in, as independent roundings
    nearly are; it is an estimate elsewhere.
    """
    if tap.metrics is None or tap.local is None:
        return None
    free, local = tap.metrics.rel_l2, tap.local.rel_l2
    if free is None or local is None:
        return None
    return math.sqrt(max(free**2 - local**2, 0.0))


def _tap_rows(taps: Sequence[TapDiff]) -> Iterator[dict[str, Any]]:
    coming_in = {tap.block: tap.metrics for tap in taps if tap.tap == f"blocks.{tap.block}.input"}
    for index, tap in enumerate(taps):
        figures = dict.fromkeys(_METRIC_NAMES)
        if tap.metrics is not None:
            figures = dataclasses.asdict(tap.metrics)
        yield {
            "index": index,
            "tap": tap.tap,
            "block": tap.block,
            "status": tap.status,
            "reason": tap.reason,
            **figures,
            **_local_row(tap, coming_in.get(tap.block)),
        }


def _local_row(tap: TapDiff, coming_in: Metrics | None) -> dict[str, Any]:
    """Error made here, error inherited, and error out over error into the block."""
    local, free = tap.local, tap.metrics
    gain = None
    if free and coming_in and free.rel_l2 is not None and coming_in.rel_l2:
        gain = free.rel_l2 / coming_in.rel_l2
    return {
        "local_mismatched": local.mismatched if local else None,
        "local_max_abs": local.max_abs if local else None,
        "local_max_ulp": local.max_ulp if local else None,
        "local_rel_l2": local.rel_l2 if local else None,
        "inherited_rel_l2": inherited_error(tap),
        "gain": gain,
    }


def impact_json(impact: Impact) -> dict[str, Any]:
    """An impact's figures and its verdict, as JSON-like data."""
    return {**_finite(dataclasses.asdict(impact)), "verdict": impact.verdict}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no Infinity: null stands for them."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _brief(value: object, width: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= width else f"{text[:width]}…"
