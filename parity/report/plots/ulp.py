"""How far apart: elements by their ULP distance, where a column first departs and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report.plots.points import differing
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(comparison: Comparison) -> Figure | str:
    """Two panels, a line per column that differs: shares of elements in bins of ULP distance.

    Bin 0 is equality; bin k holds distances from 2^(k-1) to 2^k - 1.
    """
    from parity.report.plots.style import add_legend, line_style, new_figure, set_title, shown

    columns = [(n, column, ends) for n, column in differing(comparison) if (ends := _ends(column))]
    if not columns:
        return "no tap that differs has a histogram"
    figure = new_figure(3.9)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    bins = 1
    for number, column, ends in columns:
        style = line_style(number, len(comparison.columns))
        for axes, tap in zip(panels, ends, strict=True):
            assert tap.profile is not None
            counts = tap.profile.ulp_histogram
            bins = max(bins, len(counts))
            points = [(k, count / sum(counts)) for k, count in enumerate(counts) if count]
            axes.plot([k for k, _ in points], [share for _, share in points], **style)
        panels[0].plot([], [], label=shown(column.name), **style)
    for axes, where in zip(
        panels, ("first tap that differs", "last tap that differs"), strict=True
    ):
        axes.set_yscale("log")
        axes.set_ylabel("share of elements")
        axes.annotate(
            where, (0.98, 0.94), xycoords="axes fraction", ha="right", va="top", fontsize=6.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    step = 1 if bins <= 9 else 2 if bins <= 18 else 4
    ticks = range(0, bins, step)
    panels[1].set_xticks(list(ticks), [_bin_label(k) for k in ticks])
    panels[1].set_xlim(-0.5, bins - 0.5)
    panels[1].set_xlabel("ULP distance, from this to the next power of 2")
    set_title(figure, comparison, "Elements by ULP distance")
    add_legend(figure, panels[0])
    return figure


def _ends(column: Column) -> tuple[TapDiff, TapDiff] | None:
    """The first and the last tap with a histogram."""
    taps = [tap for tap in column.taps if tap.profile is not None and tap.profile.ulp_histogram]
    return (taps[0], taps[-1]) if taps else None


def _bin_label(k: int) -> str:
    if k == 0:
        return "0"
    return str(1 << (k - 1)) if k <= 10 else f"$2^{{{k - 1}}}$"
