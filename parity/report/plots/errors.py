"""Error at each row: as it ran, made in the row alone, and how the row passes it on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from parity.report.plots.points import RowAxis, differing, row_axis
from parity.verdict.comparison import Column, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Beyond it the gains of other rows could not be told from 1.
_LARGE_GAIN = 5
_Points = list[tuple[int, float]]


def draw(comparison: Comparison) -> Figure | str:
    """Two or three panels over the rows of the model, a line per column with local errors.

    Relative L2 error leaving the row, free and local on one scale, and, where rows have an input
    of their own, the gain: that leaving over that entering. A row without an error has no point.
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

    columns = [(number, column) for number, column in differing(comparison) if column.injected]
    if not columns:
        return "of no column that differs local errors were measured"
    rows = row_axis(comparison)
    points = {number: _points(comparison, rows, column) for number, column in columns}
    errors = [y for free, local, _ in points.values() for _, y in (*free, *local)]
    if not errors:
        return "nothing that leaves a row has a relative error"
    count = 3 if any(gain for _, _, gain in points.values()) else 2
    figure = new_figure(0.8 + 1.3 * count + 0.7 * upright(rows))
    panels = figure.subplots(count, 1, sharex=True)
    for number, column in columns:
        style = line_style(number, len(comparison.columns))
        for axes, some in zip(panels, points[number], strict=False):
            axes.plot([place for place, _ in some], [y for _, y in some], **style)
        panels[0].plot([], [], label=shown(column.name), **style)
    for axes, label in zip(panels, ("free", "local"), strict=False):
        axes.set_yscale("log")
        axes.set_ylim(min(errors) / 1.6, max(errors) * 1.6)
        axes.set_ylabel(f"relative error\n{label}")
    if count == 3:
        gain = panels[2]
        gain.axhline(1, color="0.5", linewidth=0.8)
        if gain.get_ylim()[1] > _LARGE_GAIN:
            gain.set_yscale("log")
            gain.yaxis.set_major_formatter("{x:g}")
        gain.set_ylabel("gain: error out\nover error in")
    under(panels[-1], rows)
    set_title(figure, comparison, f"Error by {rows.shown.noun}: as it ran, and made there alone")
    add_legend(figure, panels[0])
    return figure


def _points(
    comparison: Comparison, rows: RowAxis, column: Column
) -> tuple[_Points, _Points, _Points]:
    """Free error, local error and gain by row, where they exist and are not 0."""
    points = rows.points(column)
    free = [(place, tap.metrics.rel_l2 if tap.metrics else None) for place, tap in points]
    local = [(place, tap.local.rel_l2 if tap.local else None) for place, tap in points]
    gain = [(place, comparison.gain(column, tap)) for place, tap in points]
    return _positive(free), _positive(local), _positive(gain)


def _positive(points: Iterable[tuple[int, float | None]]) -> _Points:
    return [(place, y) for place, y in points if y is not None and y > 0 and math.isfinite(y)]
