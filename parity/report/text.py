"""A comparison in words and tables: what is printed, and the lines that summaries share."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from parity.report.inert import one_line
from parity.report.table import WIDTH, csv_table, markdown_table, text_tables
from parity.verdict.comparison import Column, Comparison
from parity.verdict.status import brief
from parity.verdict.taps import Status, TapDiff

_NAMED_SKIPPED = 1
_ALLOWED: Mapping[Status, str] = {"unjudged": "unjudged differences"}


def render(comparison: Comparison, form: str, width: int = WIDTH) -> str:
    """The comparison as `table`, `markdown`, `csv` or `json`; a table is folded at the width."""
    if form == "json":
        return json_text(comparison.to_json())
    if form == "csv":
        return csv_table(comparison).rstrip("\n")
    tables = [markdown_table(comparison).splitlines()] if form == "markdown" else None
    return "\n\n".join("\n".join(lines) for _, lines in parts(comparison, width, tables))


def parts(
    comparison: Comparison, width: int = WIDTH, tables: list[list[str]] | None = None
) -> list[tuple[str, list[str]]]:
    """What is printed, in parts between which a line is free: of which kind, and its lines.

    Args:
      tables: instead of the plain ones.
    """
    tables = text_tables(comparison, width) if tables is None else tables
    found = [
        ("environment", [f"environment: {one_line(line)}" for line in comparison.environment]),
        ("verified", textwrap.wrap(verified_line(comparison), width, subsequent_indent="  ")),
        *(("table", table) for table in tables),
        ("verdicts", verdict_lines(comparison, width)),
        *(("causes", cause_lines(column)) for column in comparison.columns),
        ("blind spots", blind_spot_lines(comparison)),
        ("notes", [*map(one_line, comparison.notes)]),
    ]
    return [(kind, lines) for kind, lines in found if lines]


def headline(comparison: Comparison) -> str:
    """The verdict on the column under test, in a few words."""
    if comparison.holds:
        allowed = [_ALLOWED.get(status, status) for status in sorted(comparison.allow)]
        return f"Parity holds, up to {' and '.join(allowed)}" if allowed else "Parity holds"
    return "Parity is not decided" if undecided(comparison) else "Parity does not hold"


def undecided(comparison: Comparison) -> bool:
    """Parity fails for nothing but differences that were not judged."""
    ours = comparison.columns[0]
    worse = ours.beyond(comparison.allow | {"unjudged"})
    return not comparison.holds and worse is None and ours.compared > 0


def json_text(document: Mapping[str, Any]) -> str:
    """`comparison.json` of a comparison's document: a line per tap, so that it can be searched."""

    def line(value: object) -> str:
        return json.dumps(value, allow_nan=False)

    shown = []
    for column in document["columns"]:
        taps = ",\n".join(f"   {line(tap)}" for tap in column["taps"])
        rest = {name: value for name, value in column.items() if name != "taps"}
        shown.append(f'  {line(rest)[:-1]}, "taps": [\n{taps}\n  ]}}')
    fields = {name: value for name, value in document.items() if name != "columns"}
    head = "".join(f" {line(name)}: {line(value)},\n" for name, value in fields.items())
    return f'{{\n{head} "columns": [\n' + ",\n".join(shown) + "\n ]\n}"


def verified_line(comparison: Comparison) -> str:
    """How much of what was expected was compared."""
    fractions = {(column.compared, len(column.taps)) for column in comparison.columns}
    if len(fractions) == 1:
        ((compared, expected),) = fractions
        return f"verified: {compared} of {expected} taps compared"
    each = (f"{one_line(c.name)} {c.compared} of {len(c.taps)}" for c in comparison.columns)
    return f"verified, taps compared: {'; '.join(each)}"


def verdict_lines(comparison: Comparison, width: int = WIDTH) -> list[str]:
    """For each column its verdict, and under it what speaks for that."""
    return [line for lines in verdict_paragraphs(comparison, width) for line in lines]


def verdict_paragraphs(comparison: Comparison, width: int = WIDTH) -> list[list[str]]:
    """Those lines, by column."""
    names = [one_line(column.name) for column in comparison.columns]
    # A name that would leave no room stands on a line of its own.
    pad = max((len(name) for name in names if len(name) <= width // 2), default=0)
    paragraphs = []
    for name, column in zip(names, comparison.columns, strict=True):
        head = name.ljust(pad)
        lines = [head] if len(head) > pad else []
        lines += _wrapped(verdict(column), width, " " * pad if lines else head, pad, 2)
        for detail in details(comparison, column):
            lines += _wrapped(detail, width, " " * pad, pad, 4)
        paragraphs.append(lines)
    return paragraphs


def _wrapped(text: str, width: int, head: str, pad: int, indent: int) -> list[str]:
    """Lines that begin `indent` after the names' column; those that follow, two more."""
    return textwrap.wrap(
        one_line(text),
        width,
        initial_indent=head + " " * indent,
        subsequent_indent=" " * (pad + max(indent, 4) + 2),
    )


def verdict(column: Column) -> str:
    """One column in a few words: its worst status and where that begins."""
    first, worst = column.first_divergence, decisive(column)
    if first is None and not column.compared:
        return f"nothing compared: 0 of {len(column.taps)} taps"
    if first is None or worst is None:
        skipped = [tap.tap for tap in column.taps if tap.status == "not_compared"]
        if not skipped:
            return "IDENTICAL"
        more = ", …" if len(skipped) > _NAMED_SKIPPED else ""
        return f"IDENTICAL where compared; not: {skipped[0]}{more}"
    if worst.status == "rounding":
        return f"ROUNDING from {first.tap}"
    since = "" if worst is first else f", bits differ from {first.tap}"
    open_ = 0 if worst.status == "unjudged" else sum(t.status == "unjudged" for t in column.taps)
    more = f", and {open_} tap{'s are' if open_ > 1 else ' is'} unjudged" if open_ else ""
    return f"{worst.status.upper()} at {worst.tap}{since}{more}"


def decisive(column: Column) -> TapDiff | None:
    """The tap that a verdict names: the first of the worst status; None if none differs."""
    return column.diverged_at or column.unjudged_at or column.first_divergence


def details(comparison: Comparison, column: Column) -> list[str]:
    """What stands under a verdict: the reason at its tap, what was made where, what it does."""
    tap = decisive(column)
    if tap is None:
        return []
    lines = []
    if column is comparison.columns[0] and column.unjudged_at and "unjudged" in comparison.allow:
        lines.append("unjudged differences are allowed in this run")
    if tap.metrics is not None and (tap.stage is None or not tap.stage.metrics.mismatched):
        lines.append(brief(tap.metrics))
    if tap.reason:
        lines.append(tap.reason)
    made = [t for t in column.taps if t.stage is not None and t.stage.metrics.mismatched]
    if len(made) > 1:
        kinds = dict.fromkeys(comparison.grouping.kind(t.tap) for t in made)
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


def cause_lines(column: Column) -> list[str]:
    """The statements that cause a column's differences, under its name; none without them."""
    if column.explained is None:
        return []
    lines = [
        " " * (len(line) - len(line.lstrip(" "))) + one_line(line)
        for line in column.explained.text.splitlines()
    ]
    return [f"{one_line(column.name)}: {lines[0]}", *lines[1:]]


def blind_spot_lines(comparison: Comparison) -> list[str]:
    """What this input can't see, under a heading; nothing if it sees everything."""
    if not comparison.blind_spots:
        return []
    return ["not seen by this run:", *(f"  {one_line(line)}" for line in comparison.blind_spots)]
