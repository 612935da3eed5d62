"""Divergence against depth: how much of what leaves each row differs, and by how far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report.plots.points import row_axis
from parity.verdict.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(comparison: Comparison) -> Figure | str:
    """Two panels over the rows of the model, a line per column.

    Above, the share of what leaves the row that mismatches, whose ceiling is 1. Below, the ULP
    distance: its 99th percentile as a line, and its largest value, which values near zero that
    change sign send to the tens of thousands at once, as a faint one.
    """
    from parity.report.plots.style import (
        add_legend,
        line_style,
        new_figure,
        set_title,
        shown,
        under,
        upright,
    )

    rows = row_axis(comparison)
    if not any(map(rows.points, comparison.columns)):
        return "nothing was compared where values leave a row"
    figure = new_figure(4.6 if upright(rows) else 3.9)
    share, ulp = figure.subplots(2, 1, sharex=True)
    for number, column in enumerate(comparison.columns):
        points = rows.points(column)
        metrics = [tap.metrics for _, tap in points if tap.metrics is not None]
        places = [place for place, _ in points]
        style = line_style(number, len(comparison.columns))
        shares = [each.mismatched / max(each.size, 1) for each in metrics]
        share.plot(places, shares, label=shown(column.name), **style)
        ulp.plot(places, [each.p99_ulp or 0 for each in metrics], **style)
        largest = [each.max_ulp or 0 for each in metrics]
        ulp.plot(places, largest, color=style["color"], linewidth=0.7, alpha=0.45)
    share.axhline(1, color="0.5", linewidth=0.8)
    share.annotate(
        "ceiling: every element", (0.01, 1), xycoords=("axes fraction", "data"),
        va="bottom", fontsize=6, color="0.35",
    )  # fmt: skip
    share.set_ylim(-0.05, 1.14)
    share.set_ylabel("mismatched share")
    ulp.set_yscale("symlog", linthresh=1)
    ulp.set_ylim(-0.3, 3 * max(1.0, ulp.get_ylim()[1]))
    ulp.set_ylabel("ULP: 99th percentile,\nlargest (faint)")
    under(ulp, rows)
    set_title(figure, comparison, f"Divergence by {rows.shown.words}")
    add_legend(figure, share)
    return figure
