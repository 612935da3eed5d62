"""A comparison in words and tables: what is printed, and the lines that summaries share."""

from __future__ import annotations

import json
import textwrap

from parity.comparison import Column, Comparison
from parity.report.table import WIDTH, csv_table, markdown_table, text_table
from parity.status import brief

_NAMED_SKIPPED = 1


def render(comparison: Comparison, form: str) -> str:
    """The comparison as `table`, `markdown`, `csv` or `json`."""
    if form == "json":
        return json.dumps(comparison.to_json(), indent=1, allow_nan=False)
    if form == "csv":
        return csv_table(comparison).rstrip("\n")
    body = markdown_table if form == "markdown" else text_table
    parts = [
        "\n".join(f"environment: {line}" for line in comparison.environment),
        verified_line(comparison),
        body(comparison),
        "\n".join(verdict_lines(comparison)),
        "\n".join(blind_spot_lines(comparison)),
        "\n".join(comparison.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def verified_line(comparison: Comparison) -> str:
    """How much of what was expected was compared."""
    fractions = {(column.compared, len(column.taps)) for column in comparison.columns}
    if len(fractions) == 1:
        ((compared, expected),) = fractions
        return f"verified: {compared} of {expected} taps compared"
    each = (f"{c.name} {c.compared} of {len(c.taps)}" for c in comparison.columns)
    return f"verified, taps compared: {'; '.join(each)}"


def verdict_lines(comparison: Comparison) -> list[str]:
    """For each column its verdict, and under it what speaks for that."""
    pad = max(len(column.name) for column in comparison.columns)
    lines = []
    for column in comparison.columns:
        lines.append(f"{column.name:{pad}}  {verdict(column)}")
        for detail in details(column):
            lines += textwrap.wrap(
                detail, WIDTH, initial_indent=" " * (pad + 4), subsequent_indent=" " * (pad + 6)
            )
    return lines


def verdict(column: Column) -> str:
    """One column in a few words: its worst status and where that begins."""
    first, diverged = column.first_divergence, column.diverged_at
    if first is None and not column.compared:
        return f"nothing compared: 0 of {len(column.taps)} taps"
    if first is None:
        skipped = [tap.tap for tap in column.taps if tap.status == "not_compared"]
        if not skipped:
            return "IDENTICAL"
        more = ", …" if len(skipped) > _NAMED_SKIPPED else ""
        return f"IDENTICAL where compared; not: {skipped[0]}{more}"
    if diverged is None:
        return f"ROUNDING from {first.tap}"
    word = diverged.status.upper()
    since = "" if diverged is first else f", bits differ from {first.tap}"
    return f"{word} at {diverged.tap}{since}"


def details(column: Column) -> list[str]:
    """What stands under a verdict: the reason at its tap, what was made where, what it does."""
    tap = column.diverged_at or column.first_divergence
    if tap is None:
        return []
    lines = []
    if tap.metrics is not None and (tap.stage is None or not tap.stage.metrics.mismatched):
        lines.append(brief(tap.metrics))
    if tap.reason:
        lines.append(tap.reason)
    made = [t for t in column.taps if t.stage is not None and t.stage.metrics.mismatched]
    if len(made) > 1:
        kinds = dict.fromkeys(t.tap.split(".", 2)[-1] for t in made)
        shown = ", ".join(list(kinds)[:3]) + (", …" if len(kinds) > 3 else "")
        lines.append(f"such errors are made at {len(made)} taps: {shown}")
    last = next((t for t in reversed(column.taps) if t.accuracy and t.accuracy.ratio), None)
    if last is not None and last.accuracy is not None and last.accuracy.ratio is not None:
        lines.append(
            f"at {last.tap}, {last.accuracy.ratio:.2f} of the reference's error to the oracle"
        )
    if column.impact is not None:
        lines.append(column.impact.verdict)
    return lines


def blind_spot_lines(comparison: Comparison) -> list[str]:
    """What this input can't see, under a heading; nothing if it sees everything."""
    if not comparison.blind_spots:
        return []
    return ["not seen by this run:", *(f"  {line}" for line in comparison.blind_spots)]
