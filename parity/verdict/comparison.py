"""A Comparison: every figure of a report, a column per candidate and in it a row per tap."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parity.arrays.logits import Impact
from parity.arrays.metrics import Metrics
from parity.verdict.grouping import Grouping, GroupingRule, by_index
from parity.verdict.jsonlike import explained_json, finite, impact_json, profile_json
from parity.verdict.taps import COMPARED, Explained, Status, TapDiff

if TYPE_CHECKING:
    import pandas as pd

_METRIC_NAMES = tuple(f.name for f in dataclasses.fields(Metrics))
_EQUAL: frozenset[Status] = frozenset(("identical", "not_compared"))
_LACKING: frozenset[Status] = frozenset(("missing", "not_compared"))
_TOLERABLE: frozenset[Status] = _EQUAL | {"rounding", "unjudged"}


@dataclass(frozen=True)
class Column:
    """One candidate held against the reference.

    Attributes:
      fields: the numerics fields in which it departs from `ours`.
      taps: in execution order; those that only the reference has stand last.
      impact: of other logits, where both sides have logits and they differ.
      explained: the statements that cause its differences, where they were looked for.
    """

    name: str
    fields: Mapping[str, Any]
    taps: Sequence[TapDiff]
    impact: Impact | None = None
    explained: Explained | None = None

    @property
    def first_divergence(self) -> TapDiff | None:
        """The first tap, in execution order, that isn't bit for bit the reference's."""
        return next((tap for tap in self.taps if tap.status not in _EQUAL), None)

    @property
    def diverged_at(self) -> TapDiff | None:
        """The first tap, in execution order, whose difference rounding can't explain."""
        return next((tap for tap in self.taps if tap.status not in _TOLERABLE), None)

    @property
    def unjudged_at(self) -> TapDiff | None:
        """The first tap, in execution order, of whose difference nothing is known."""
        return next((tap for tap in self.taps if tap.status == "unjudged"), None)

    def beyond(self, allowed: Collection[Status]) -> TapDiff | None:
        """The first tap, in execution order, that is neither equal nor of an allowed status."""
        return next(
            (tap for tap in self.taps if tap.status not in _EQUAL and tap.status not in allowed),
            None,
        )

    @property
    def compared(self) -> int:
        return sum(tap.status in COMPARED for tap in self.taps)

    @property
    def injected(self) -> bool:
        """Local errors of blocks were measured."""
        return any(tap.local is not None for tap in self.taps)

    @property
    def first_local(self) -> TapDiff | None:
        """The first tap at which an error is made, given the reference's values before it."""
        return next((tap for tap in self.taps if tap.made_here and tap.made_here.mismatched), None)

    def tap(self, name: str) -> TapDiff | None:
        return next((tap for tap in self.taps if tap.tap == name), None)


@dataclass(frozen=True)
class Comparison:
    """Everything one report shows.

    Attributes:
      manifest: where the figures come from.
      columns: one per candidate; the first is the one under test.
      environment: in what else than the code the two sides differ; read before any figure.
      blind_spots: faults that this input can't show.
      notes: certificates.
      allow: statuses of differences that are parity too; none where it is bit for bit.
      rule: reads the rows of a model in the names of its taps.
    """

    manifest: Mapping[str, Any]
    columns: Sequence[Column]
    environment: Sequence[str] = ()
    blind_spots: Sequence[str] = ()
    notes: Sequence[str] = ()
    allow: frozenset[Status] = frozenset()
    rule: GroupingRule = by_index

    @property
    def holds(self) -> bool:
        """The first column, the one under test, is equal or as allowed; something was compared."""
        ours = self.columns[0]
        return ours.beyond(self.allow) is None and ours.compared > 0

    @property
    def exact(self) -> bool:
        """Parity is bit for bit."""
        return not self.allow

    @functools.cached_property
    def grouping(self) -> Grouping:
        """The rows of the taps of all columns, in execution order."""
        taps = [tap for column in self.columns for tap in column.taps]
        names = dict.fromkeys(tap.tap for tap in taps)
        # Those that only the reference has stand last: no place at which values leave a row.
        held = dict.fromkeys(tap.tap for tap in taps if tap.status not in _LACKING)
        found = self.rule([*names])
        return found if len(held) == len(names) else found.ending_at([*held], self.rule)

    def gain(self, column: Column, tap: TapDiff) -> float | None:
        """Relative L2 error at a tap over that at its row's input; None where none comes in."""
        entering = self.grouping.entering(tap.tap)
        before = None if entering is None else column.tap(entering)
        if tap.metrics is None or before is None or before.metrics is None:
            return None
        out, into = tap.metrics.rel_l2, before.metrics.rel_l2
        return out / into if out is not None and into else None

    def _rows(self, column: Column) -> Iterator[dict[str, Any]]:
        for index, tap in enumerate(column.taps):
            figures = dict.fromkeys(_METRIC_NAMES)
            if tap.metrics is not None:
                figures = dict(vars(tap.metrics))
            yield {
                "index": index,
                "tap": tap.tap,
                "block": self.grouping.number(tap.tap),
                "row": self.grouping.row(tap.tap),
                "kind": self.grouping.kind(tap.tap),
                "status": tap.status,
                "reason": tap.reason,
                **figures,
                **_local_row(tap, self.gain(column, tap)),
                **_oracle_row(tap),
            }

    def to_frame(self) -> pd.DataFrame:
        """Tidy table, a row per column and tap: column, index, tap, row, status, reason, metrics.

        Figures that don't exist are NA.
        """
        import pandas as pd

        frame = pd.DataFrame(
            [
                {"column": column.name, **row}
                for column in self.columns
                for row in self._rows(column)
            ]
        )
        whole = ["block", "mismatched", "size", "max_ulp", "p99_ulp"]
        whole += ["local_mismatched", "local_max_ulp", "floor_mismatched"]
        whole += ["stage_mismatched", "stage_max_ulp"]
        return frame.astype(dict.fromkeys(whole, "Int64"))

    def to_json(self) -> dict[str, Any]:
        """The document of `comparison.json`, schema 1; no NaN or Infinity in it."""
        return {
            "schema": 1,
            "manifest": dict(self.manifest),
            "environment": list(self.environment),
            "blind_spots": list(self.blind_spots),
            "notes": list(self.notes),
            "exact": self.exact,
            "allow": sorted(self.allow),
            "holds": self.holds,
            "rows": self.grouping.noun,
            "columns": [
                {
                    "name": column.name,
                    "fields": dict(column.fields),
                    "first_divergence": first.tap if (first := column.first_divergence) else None,
                    "diverged_at": first.tap if (first := column.diverged_at) else None,
                    "unjudged_at": first.tap if (first := column.unjudged_at) else None,
                    "compared": column.compared,
                    "impact": None if column.impact is None else impact_json(column.impact),
                    "explained": explained_json(column.explained),
                    "taps": [
                        {**finite(row), "profile": profile_json(tap)}
                        for row, tap in zip(self._rows(column), column.taps, strict=True)
                    ],
                }
                for column in self.columns
            ],
        }


def _local_row(tap: TapDiff, gain: float | None) -> dict[str, Any]:
    """Error made here, error inherited, and error out over error into the row."""
    local = tap.made_here
    return {
        "local_mismatched": local.mismatched if local else None,
        "local_max_abs": local.max_abs if local else None,
        "local_max_ulp": local.max_ulp if local else None,
        "local_rel_l2": local.rel_l2 if local else None,
        "inherited_rel_l2": tap.inherited,
        "gain": gain,
        "floor_mismatched": tap.floor.mismatched if tap.floor else None,
        "floor_max_abs": tap.floor.max_abs if tap.floor else None,
    }


def _oracle_row(tap: TapDiff) -> dict[str, Any]:
    """Errors against the oracle as it ran, and what the stage alone makes."""
    free, stage = tap.accuracy, tap.stage
    own = stage.accuracy if stage else None
    return {
        "oracle_rel_l2": free.ours if free else None,
        "reference_oracle_rel_l2": free.reference if free else None,
        "oracle_ratio": free.ratio if free else None,
        "stage_mismatched": stage.metrics.mismatched if stage else None,
        "stage_max_ulp": stage.metrics.max_ulp if stage else None,
        "stage_oracle_ratio": own.ratio if own else None,
        "stage_bound_share": stage.bound_share if stage else None,
        "stage_formula_share": stage.formula_share if stage else None,
    }
