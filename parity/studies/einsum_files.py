"""What the einsum study writes: every row as CSV and JSON, tables for people, a picture."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxformer.numerics import Gating
    from parity.studies.einsum import Row


def csv_text(rows: Sequence[Row]) -> str:
    """A line per row, under the names of its fields."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [field.name for field in dataclasses.fields(rows[0])], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return text.getvalue()


def summary_text(rows: Sequence[Row]) -> str:
    """Three tables in Markdown: counts, orders, errors."""
    dtypes = list(dict.fromkeys(row.dtype for row in rows))
    parts = ["# The gating einsum in several formulations, against `fused`"]
    for dtype in dtypes:
        own = [row for row in rows if row.dtype == dtype]
        where = "at the einsum / at the block's output"
        parts += [f"Elements that differ in {dtype}, {where}:", counts_table(own)]
    parts += [
        "How the compiled product adds its terms, and what NumPy, adding in that order, gets:",
        orders_table([row for row in rows if row.dtype == dtypes[0]]),
        "Relative error against float64:",
        errors_table(rows),
    ]
    return "\n\n".join(parts) + "\n"


def counts_table(rows: Sequence[Row]) -> str:
    """Of one dtype: at the einsum and, after a slash, at the block's output, by length."""
    formulations = _formulations(rows)
    lines = []
    for length in dict.fromkeys(row.length for row in rows):
        at = {row.formulation: row for row in rows if row.length == length}
        first = at[formulations[0]]
        cells = [f"{at[f].default:,} / {at[f].block_default:,}" for f in formulations[1:]]
        lines.append([str(length), f"{first.elements:,} / {first.block_elements:,}", *cells])
    return _table(["tokens", "elements", *formulations[1:]], lines)


def orders_table(rows: Sequence[Row]) -> str:
    """Of one dtype, by length: each product and order, who has it, and its replay."""
    lines = []
    for length in dict.fromkeys(row.length for row in rows):
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row.length == length:
                alike.setdefault((row.order, row.product), []).append(row)
        for (order, product), who in alike.items():
            names = ", ".join(row.formulation for row in who)
            wrong = [row.replayed for row in who if row.replayed is not None]
            total = sum(row.elements for row in who)
            replayed = f"{sum(wrong)} of {total:,}" if wrong else "-"
            before = who[0].before_rounding
            shown = "-" if before is None else f"{before:,} of {who[0].elements:,}"
            lines.append(
                [str(length), names, product, order, str(who[0].roundings), replayed, shown]
            )
    head = ["tokens", "formulations", "product", "order of addition", "roundings"]
    return _table([*head, "replay differs", "sums differ before rounding"], lines)


def errors_table(rows: Sequence[Row]) -> str:
    """By dtype and length, a formulation per column."""
    formulations = _formulations(rows)
    lines = []
    for dtype, length in dict.fromkeys((row.dtype, row.length) for row in rows):
        at = {r.formulation: r for r in rows if (r.dtype, r.length) == (dtype, length)}
        lines.append([dtype, str(length), *(f"{at[f].rel_l2:.3e}" for f in formulations)])
    return _table(["dtype", "tokens", *formulations], lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Above, the share of elements that differ by length; below, the float32 error.

    Written as `path`.png and `path`.svg.

    Raises:
      OSError: the disk is full.
    """
    from parity.report.plots.style import line_style, new_figure, save, styled

    lengths = list(dict.fromkeys(row.length for row in rows))
    dtypes = list(dict.fromkeys(row.dtype for row in rows))
    formulations = _formulations(rows)
    with styled():
        figure = new_figure(4.2)
        share, error = figure.subplots(2, 1, sharex=True)
        for number, dtype in enumerate(dtypes):
            own = [row for row in rows if (row.dtype, row.formulation) == (dtype, "stacked")]
            shares = [row.default / row.elements for row in own]
            share.plot(
                lengths, shares, label=f"{dtype}, stacked", **line_style(number, len(dtypes))
            )
        for number, formulation in enumerate(formulations):
            own = [r for r in rows if (r.dtype, r.formulation) == ("float32", formulation)]
            style = line_style(number, len(formulations))
            error.plot(
                lengths, [row.rel_l2 for row in own], label=f"float32, {formulation}", **style
            )
        share.set_yscale("symlog", linthresh=1e-5)
        share.set_ylim(-3e-6, 3)
        share.set_ylabel("share of elements\nthat differ from fused")
        error.set_ylim(bottom=0)
        error.set_ylabel("relative error\nagainst float64")
        error.set_xscale("log", base=2)
        error.set_xticks(lengths, [str(length) for length in lengths])
        error.minorticks_off()
        error.set_xlabel("tokens")
        for panel in (share, error):
            panel.legend()
        save(figure, path)


def _formulations(rows: Sequence[Row]) -> list[Gating]:
    return list(dict.fromkeys(row.formulation for row in rows))


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
