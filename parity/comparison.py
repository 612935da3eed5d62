"""A Comparison: every figure of a report, a column per candidate and in it a row per tap."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from parity.impact import Impact
from parity.metrics import Metrics

if TYPE_CHECKING:
    import pandas as pd

# identical     every bit is the same
# different     some element's bits differ, all of those finite on both sides
# nonfinite     some differing element is Inf or NaN on a side
# shape, dtype  the two arrays can't be compared element by element
# missing       the reference recorded this tap, this column did not
# not_compared  the reference can't yield this tap
Status = Literal["identical", "different", "nonfinite", "shape", "dtype", "missing", "not_compared"]
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
