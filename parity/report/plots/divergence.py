"""Divergence against depth: how much of the residual stream differs, and by how far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report.plots.points import block_outputs
from parity.verdict.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(comparison: Comparison) -> Figure | str:
    """Two panels over the block index, a line per column.

    Above, the share of the block's output that mismatches, whose ceiling is 1. Below, the ULP
    distance: its 99th percentile as a line, and its largest value, which values near zero that
    change sign send to the tens of thousands at once, as a faint one.
    """
    from parity.report.plots.style import (
        add_legend,
        block_axis,
        line_style,
        new_figure,
        set_title,
        shown,
    )

    if not any(map(block_outputs, comparison.columns)):
        return "no block's output was compared"
    figure = new_figure(3.9)
    share, ulp = figure.subplots(2, 1, sharex=True)
    every: list[int] = []
    for number, column in enumerate(comparison.columns):
        taps = block_outputs(column)
        metrics = [tap.metrics for tap in taps if tap.metrics is not None]
        blocks = [tap.block for tap in taps if tap.block is not None]
        every += blocks
        style = line_style(number, len(comparison.columns))
        shares = [each.mismatched / max(each.size, 1) for each in metrics]
        share.plot(blocks, shares, label=shown(column.name), **style)
        ulp.plot(blocks, [each.p99_ulp or 0 for each in metrics], **style)
        largest = [each.max_ulp or 0 for each in metrics]
        ulp.plot(blocks, largest, color=style["color"], linewidth=0.7, alpha=0.45)
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
    block_axis(ulp, every)
    set_title(figure, comparison, "Residual stream leaving each block")
    add_legend(figure, share)
    return figure
