"""Which taps the pictures show, and where each stands on an axis of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parity.report.rows import ShownRows, axis_rows
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff

# A tap that was compared, with its place on the axis.
Point = tuple[int, TapDiff]


@dataclass(frozen=True)
class RowAxis:
    """An axis of rows in execution order.

    Attributes:
      start: the number of the first row, where rows are numbered one after the other; else None,
        and they have labels.
    """

    shown: ShownRows
    start: int | None

    @property
    def labels(self) -> Sequence[str]:
        return [row.label for row in self.shown.rows]

    @property
    def first(self) -> int:
        return self.start or 0

    @property
    def last(self) -> int:
        return self.first + len(self.shown.rows) - 1

    def points(self, column: Column) -> list[Point]:
        """What was compared of a column."""
        taps = {tap.tap: tap for tap in column.taps if tap.metrics is not None}
        places = enumerate(self.shown.rows, self.first)
        return [(place, taps[row.tap]) for place, row in places if row.tap in taps]


def row_axis(comparison: Comparison) -> RowAxis:
    """The rows from which values leave, or else all taps."""
    shown = axis_rows(comparison)
    grouping = comparison.grouping
    numbers = [grouping.number(row.tap) for row in shown.rows]
    start = numbers[0] if numbers else None
    if start is not None and numbers != [*range(start, start + len(numbers))]:
        start = None
    return RowAxis(shown, start)


def differing(comparison: Comparison) -> Iterator[tuple[int, Column]]:
    """Columns with elements that differ, each with its place, to which its line style belongs."""
    for number, column in enumerate(comparison.columns):
        if any(tap.metrics is not None and tap.metrics.mismatched for tap in column.taps):
            yield number, column
