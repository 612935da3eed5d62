"""The block table on a terminal, in Markdown or as CSV."""

from __future__ import annotations

import csv
import io

from parity.report.inert import escaped, one_line
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff

WIDTH = 80
_ABSENT = "-"
# Room for a block's number, its elements, and local errors and gain.
_BESIDE = 40
# What follows a column's own figures where its local errors were measured.
_DETAILS = (" local", " gain")


def block_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows: mismatched elements of the residual stream leaving each block.

    The logits follow as a row of their own where they were recorded. A run without any block
    output has a row per tap instead. A column whose local errors were measured is followed by
    `NAME local`, mismatches made in that block alone, on the reference's values, and `NAME gain`,
    the relative error that leaves the block over the one that enters it.
    """
    first = comparison.columns[0].taps
    outputs = [tap for tap in first if tap.tap == f"blocks.{tap.block}.output"]
    logits = [tap for tap in first if tap.tap == "logits"]
    if outputs:
        labels = [(str(tap.block), tap) for tap in outputs] + [("logits", tap) for tap in logits]
    else:
        labels = [(tap.tap, tap) for tap in first]
    header = ["block" if outputs else "tap", "elements"]
    rows = [[label, _size(tap)] for label, tap in labels]
    for column in comparison.columns:
        taps = {tap.tap: tap for tap in column.taps}
        header.append(column.name)
        if column.injected:
            header += [column.name + detail for detail in _DETAILS]
        for row, (_, label) in zip(rows, labels, strict=True):
            tap = taps.get(label.tap)
            row.append(_cell(tap))
            if column.injected:
                row += [_local_cell(tap), _gain_cell(column, tap)]
    return header, rows


def text_table(comparison: Comparison, width: int = WIDTH) -> str:
    """The table in plain text, cut into several where its columns don't fit the width.

    Local errors and gains stay beside the column that they belong to, under short headings.
    """
    return "\n\n".join("\n".join(part) for part in text_tables(comparison, width))


def text_tables(comparison: Comparison, width: int = WIDTH) -> list[list[str]]:
    """The lines of each of those tables, the first of them its header."""
    from rich.cells import cell_len

    header, rows = block_rows(comparison)
    lines = [
        [_fitted(_short(cell), width) for cell in header],
        *([*map(one_line, row)] for row in rows),
    ]
    widths = [max(cell_len(line[i]) for line in lines) + 2 for i in range(len(header))]
    groups: list[list[int]] = []
    for i in range(2, len(header)):
        if header[i].endswith(_DETAILS):
            groups[-1].append(i)
        else:
            groups.append([i])
    parts: list[list[int]] = [[0, 1]]
    for group in groups:
        used = sum(widths[i] for i in [*parts[-1], *group]) - 2
        if used > width and len(parts[-1]) > 2:
            parts.append([0, 1])
        parts[-1] += group

    def aligned(line: list[str], part: list[int]) -> str:
        return "".join(" " * (widths[i] - cell_len(line[i])) + line[i] for i in part)[2:]

    return [[aligned(line, part) for line in lines] for part in parts]


def markdown_table(comparison: Comparison) -> str:
    """The table in GitHub's Markdown, right-aligned."""
    header, rows = block_rows(comparison)
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines)


def csv_table(comparison: Comparison) -> str:
    """The table as CSV with a header."""
    out = io.StringIO()
    header, rows = block_rows(comparison)
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def _size(tap: TapDiff) -> str:
    return str(tap.metrics.size) if tap.metrics else _ABSENT


def _cell(tap: TapDiff | None) -> str:
    if tap is None:
        return _ABSENT
    return str(tap.metrics.mismatched) if tap.metrics else tap.status


def _local_cell(tap: TapDiff | None) -> str:
    return str(tap.local.mismatched) if tap and tap.local else _ABSENT


def _gain_cell(column: Column, tap: TapDiff | None) -> str:
    gain = None if tap is None else column.gain(tap)
    return _ABSENT if gain is None else f"{gain:.2f}"


def _fitted(heading: str, width: int) -> str:
    """A heading that leaves room for the columns beside which it must stand."""
    line, room = one_line(heading), max(width - _BESIDE, 8)
    return line if len(line) <= room else f"{line[: room - 1]}…"


def _short(heading: str) -> str:
    return next((d.strip() for d in _DETAILS if heading.endswith(d)), heading)
