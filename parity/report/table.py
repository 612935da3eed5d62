"""The table of rows, such as blocks, on a terminal, in Markdown or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from parity.report.inert import escaped, one_line
from parity.report.labels import shortened
from parity.report.rows import table_rows
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff

WIDTH = 80
_ABSENT = "-"
# Room for a row's label, its elements, and local errors and gain.
_BESIDE = 40
# Of a row's label this much is shown however little room there is.
_SHORTEST = 12


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
      header: what a row is, its elements, then for each column of the comparison one name or more.
      groups: the places of those, by column: what belongs together and isn't torn apart.
    """

    header: Sequence[str]
    rows: Sequence[list[str]]
    groups: Sequence[range]


def table_of(comparison: Comparison) -> Table:
    """Mismatched elements where values leave each row of the model.

    Which rows, and what they are called, is the grouping's to say; where it has none, or no such
    tap was recorded, there is a row per tap. A column whose local errors were measured is followed
    by `NAME local`, mismatches made in that row alone, on the reference's values, and, if values
    enter any row, by `NAME gain`, the relative error that leaves it over the one that enters it.
    """
    shown = table_rows(comparison)
    gains = any(comparison.grouping.entering(row.tap) for row in shown.rows)
    details = ("local", "gain") if gains else ("local",)
    every = [{tap.tap: tap for tap in column.taps} for column in comparison.columns]
    header = [shown.noun, "elements"]
    rows = [[row.label, _size([taps.get(row.tap) for taps in every])] for row in shown.rows]
    groups = []
    for column, taps in zip(comparison.columns, every, strict=True):
        start = len(header)
        header.append(column.name)
        if column.injected:
            header += [f"{column.name} {detail}" for detail in details]
        groups.append(range(start, len(header)))
        for cells, row in zip(rows, shown.rows, strict=True):
            tap = taps.get(row.tap)
            cells.append(_cell(tap))
            if column.injected:
                cells += [_local_cell(tap), _gain_cell(comparison, column, tap)][: len(details)]
    return Table(header, rows, groups)


def text_table(comparison: Comparison, width: int = WIDTH) -> str:
    """The table in plain text, cut into several where its columns don't fit the width.

    Local errors and gains stay beside the column that they belong to, under short headings.
    """
    return "\n\n".join("\n".join(part) for part in text_tables(comparison, width))


def text_tables(comparison: Comparison, width: int = WIDTH) -> list[list[str]]:
    """The lines of each of those tables, the first of them its header."""
    from rich.cells import cell_len

    table = table_of(comparison)
    headings = [_fitted(cell, width) for cell in table.header]
    for own, *details in table.groups:
        for i in details:
            headings[i] = table.header[i].removeprefix(f"{table.header[own]} ")
    lines = [headings, *([*map(one_line, row)] for row in table.rows)]
    widths = [max(cell_len(line[i]) for line in lines) + 2 for i in range(len(headings))]
    beside = widths[1] + max(sum(widths[i] for i in group) for group in table.groups)
    room = max(width - beside, _SHORTEST)
    for line, label in zip(lines, shortened([line[0] for line in lines], room), strict=True):
        line[0] = _end_of(label, room)
    widths[0] = max(cell_len(line[0]) for line in lines) + 2
    parts: list[list[int]] = [[0, 1]]
    for group in table.groups:
        used = sum(widths[i] for i in [*parts[-1], *group]) - 2
        if used > width and len(parts[-1]) > 2:
            parts.append([0, 1])
        parts[-1] += group

    def aligned(line: list[str], part: list[int]) -> str:
        return "".join(" " * (widths[i] - cell_len(line[i])) + line[i] for i in part)[2:]

    return [[aligned(line, part) for line in lines] for part in parts]


def markdown_table(comparison: Comparison) -> str:
    """The table in GitHub's Markdown, right-aligned."""
    table = table_of(comparison)
    lines = [table.header, ["---:"] * len(table.header), *table.rows]
    return "\n".join(f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines)


def csv_table(comparison: Comparison) -> str:
    """The table as CSV with a header."""
    out = io.StringIO()
    table = table_of(comparison)
    csv.writer(out, lineterminator="\n").writerows([table.header, *table.rows])
    return out.getvalue()


def _size(taps: Sequence[TapDiff | None]) -> str:
    """Elements of a tap, as the first column says in which it was compared."""
    sizes = (str(tap.metrics.size) for tap in taps if tap and tap.metrics)
    return next(sizes, _ABSENT)


def _cell(tap: TapDiff | None) -> str:
    if tap is None:
        return _ABSENT
    return str(tap.metrics.mismatched) if tap.metrics else tap.status


def _local_cell(tap: TapDiff | None) -> str:
    return str(tap.local.mismatched) if tap and tap.local else _ABSENT


def _gain_cell(comparison: Comparison, column: Column, tap: TapDiff | None) -> str:
    gain = None if tap is None else comparison.gain(column, tap)
    return _ABSENT if gain is None else f"{gain:.2f}"


def _fitted(heading: str, width: int) -> str:
    """A heading that leaves room for the columns beside which it must stand."""
    line, room = one_line(heading), max(width - _BESIDE, 8)
    return line if len(line) <= room else f"{line[: room - 1]}…"


def _end_of(label: str, room: int) -> str:
    """A label of wide characters that is still too long loses its beginning."""
    from rich.cells import cell_len

    if cell_len(label) <= room:
        return label
    while cell_len(label) > room - 1:
        label = label[1:]
    return f"…{label}"
