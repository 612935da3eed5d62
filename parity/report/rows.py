"""The rows of a short table or of a picture's axis: each stands for one tap.

Where the taps of a model are grouped, that is the tap at which values leave the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parity.verdict.comparison import Comparison
from parity.verdict.grouping import Row


@dataclass(frozen=True)
class ShownRow:
    """A row's label, and the tap whose figures stand in it."""

    label: str
    tap: str


@dataclass(frozen=True)
class ShownRows:
    """Rows in execution order.

    Attributes:
      noun: what they are called: `block`, `layers`, or `tap` where each is one.
      at: the word for the tap that stands for each, where all have it in common; else empty.
    """

    noun: str
    at: str
    rows: Sequence[ShownRow]

    @property
    def words(self) -> str:
        """By what, and at which of its taps: `block, at each output`."""
        if self.noun == "tap":
            return self.noun
        return f"{self.noun}, at {f'each {self.at}' if self.at else 'the last tap of each'}"


def table_rows(comparison: Comparison) -> ShownRows:
    """The rows of the short table: those that the grouping shows, else all."""
    grouping = comparison.grouping
    shown = grouping.shown or [row.label for row in grouping.rows]
    return _rows(comparison, [row for row in grouping.rows if row.label in shown])


def axis_rows(comparison: Comparison) -> ShownRows:
    """The rows of an axis: those of several taps alone, if there are any."""
    return _rows(comparison, list(filter(_grouped, comparison.grouping.rows)))


def _rows(comparison: Comparison, rows: Sequence[Row]) -> ShownRows:
    """One for each of the rows, or one per tap where none of them has several."""
    if not any(map(_grouped, rows)):
        first = dict.fromkeys(tap.tap for column in comparison.columns for tap in column.taps)
        return ShownRows("tap", "", [ShownRow(tap, tap) for tap in first])
    grouping = comparison.grouping
    kinds = {grouping.kind(row.leaving) for row in rows if _grouped(row) and row.leaving}
    found = [ShownRow(row.label, row.leaving) for row in rows if row.leaving is not None]
    return ShownRows(grouping.noun, kinds.pop() if len(kinds) == 1 else "", found)


def _grouped(row: Row) -> bool:
    """It is more than one tap under its own name, and values leave it."""
    return row.leaving not in (None, row.label)
