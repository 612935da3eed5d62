"""The block table on a terminal, in Markdown or as CSV, and a line of words per column."""

from __future__ import annotations

import csv
import io

from parity.comparison import Column, Comparison, TapDiff

WIDTH = 80
_ABSENT = "-"
_LOCAL = " local"


def block_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows: mismatched elements of the residual stream leaving each block.

    The logits follow as a row of their own where they were recorded. A run without any block
    output has a row per tap instead. A column whose local errors were measured is followed by a
    column `NAME local`: mismatches made in that block alone, on the reference's values.
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
        for row, (_, tap) in zip(rows, labels, strict=True):
            row.append(_cell(taps.get(tap.tap)))
        if column.injected:
            header.append(f"{column.name}{_LOCAL}")
            for row, (_, tap) in zip(rows, labels, strict=True):
                row.append(_local_cell(taps.get(tap.tap)))
    return header, rows


def text_table(comparison: Comparison, width: int = WIDTH) -> str:
    """The table in plain text, cut into several where its columns don't fit the width.

    Local errors stay beside the column that they belong to, under the short heading `local`.
    """
    header, rows = block_rows(comparison)
    lines = [[_LOCAL.strip() if cell.endswith(_LOCAL) else cell for cell in header], *rows]
    widths = [max(len(line[i]) for line in lines) + 2 for i in range(len(header))]
    groups: list[list[int]] = []
    for i in range(2, len(header)):
        if header[i].endswith(_LOCAL):
            groups[-1].append(i)
        else:
            groups.append([i])
    parts: list[list[int]] = [[0, 1]]
    for group in groups:
        used = sum(widths[i] for i in [*parts[-1], *group]) - 2
        if used > width and len(parts[-1]) > 2:
            parts.append([0, 1])
        parts[-1] += group
    return "\n\n".join(
        "\n".join("".join(line[i].rjust(widths[i]) for i in part)[2:] for line in lines)
        for part in parts
    )


def markdown_table(comparison: Comparison) -> str:
    """The table in GitHub's Markdown, right-aligned."""
    header, rows = block_rows(comparison)
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in line)} |" for line in lines)


def csv_table(comparison: Comparison) -> str:
    """The table as CSV with a header."""
    out = io.StringIO()
    header, rows = block_rows(comparison)
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def verdict_lines(comparison: Comparison) -> list[str]:
    """One line per column: its first tap that differs, or `identical`, and what was compared."""
    pad = max(len(column.name) for column in comparison.columns)
    return [f"{column.name:{pad}}  {verdict(column)}" for column in comparison.columns]


def impact_lines(comparison: Comparison) -> list[str]:
    """For each column with other logits, whether any token flips."""
    return [
        f"{column.name}: {column.impact.verdict}"
        for column in comparison.columns
        if column.impact is not None
    ]


def blind_spot_lines(comparison: Comparison) -> list[str]:
    """What this input can't see, under a heading; nothing if it sees everything."""
    if not comparison.blind_spots:
        return []
    return ["not seen by this run:", *(f"  {line}" for line in comparison.blind_spots)]


def verdict(column: Column) -> str:
    """What one column shows, in words."""
    expected = len(column.taps)
    first = column.first_divergence
    if first is None and not column.compared:
        return f"nothing compared: 0 of {expected} taps"
    if first is None and column.compared == expected:
        return f"identical ({expected} of {expected} taps compared)"
    if first is None:
        skipped = [tap.tap for tap in column.taps if tap.status == "not_compared"]
        return (
            f"identical where compared ({column.compared} of {expected} taps; not: {skipped[0]}"
            f"{', …' if len(skipped) > 1 else ''})"
        )
    if first.metrics is None:
        return f"{first.tap}: {first.status}, {first.reason}"
    metrics = first.metrics
    ulp = "" if metrics.max_ulp is None else f", up to {metrics.max_ulp} ULP"
    reason = f", {first.reason}" if first.reason else ""
    return f"{first.tap}: {metrics.mismatched} of {metrics.size} differ{ulp}{reason}"


def _size(tap: TapDiff) -> str:
    return str(tap.metrics.size) if tap.metrics else _ABSENT


def _cell(tap: TapDiff | None) -> str:
    if tap is None:
        return _ABSENT
    return str(tap.metrics.mismatched) if tap.metrics else tap.status


def _local_cell(tap: TapDiff | None) -> str:
    return str(tap.local.mismatched) if tap and tap.local else _ABSENT


def _escape(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
