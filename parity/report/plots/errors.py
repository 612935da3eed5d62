"""Error at each block: as it ran, made in the block alone, and how the block passes it on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from parity.report.plots.points import block_outputs, differing
from parity.verdict.comparison import Column, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Beyond it the gains of other blocks could not be told from 1.
_LARGE_GAIN = 5
_Points = list[tuple[int, float]]


def draw(comparison: Comparison) -> Figure | str:
    """Three panels over the block index, a line per column with local errors.

    Relative L2 error leaving the block, free and local on one scale, and the gain: that leaving
    over that entering. A block without an error has no point.
    """
    from parity.report.plots.style import (
        add_legend,
        block_axis,
        line_style,
        new_figure,
        set_title,
        shown,
    )

    columns = [(number, column) for number, column in differing(comparison) if column.injected]
    if not columns:
        return "no column that differs was run block by block (--inject)"
    points = {number: _points(column) for number, column in columns}
    errors = [y for free, local, _ in points.values() for _, y in (*free, *local)]
    if not errors:
        return "no block's output has a relative error"
    figure = new_figure(4.7)
    panels = figure.subplots(3, 1, sharex=True)
    for number, column in columns:
        style = line_style(number, len(comparison.columns))
        for axes, some in zip(panels, points[number], strict=True):
            axes.plot([block for block, _ in some], [y for _, y in some], **style)
        panels[0].plot([], [], label=shown(column.name), **style)
    for axes, label in zip(panels, ("free", "local"), strict=False):
        axes.set_yscale("log")
        axes.set_ylim(min(errors) / 1.6, max(errors) * 1.6)
        axes.set_ylabel(f"relative error\n{label}")
    gain = panels[2]
    gain.axhline(1, color="0.5", linewidth=0.8)
    if gain.get_ylim()[1] > _LARGE_GAIN:
        gain.set_yscale("log")
        gain.yaxis.set_major_formatter("{x:g}")
    gain.set_ylabel("gain: error out\nover error in")
    block_axis(gain, [tap.block or 0 for _, column in columns for tap in block_outputs(column)])
    set_title(figure, comparison, "Error leaving each block: as it ran, and made in it alone")
    add_legend(figure, panels[0])
    return figure


def _points(column: Column) -> tuple[_Points, _Points, _Points]:
    """Free error, local error and gain by block, where they exist and are not 0."""
    taps = [(tap.block, tap) for tap in block_outputs(column) if tap.block is not None]
    free = [(block, tap.metrics.rel_l2 if tap.metrics else None) for block, tap in taps]
    local = [(block, tap.local.rel_l2 if tap.local else None) for block, tap in taps]
    gain = [(block, column.gain(tap)) for block, tap in taps]
    return _positive(free), _positive(local), _positive(gain)


def _positive(points: Iterable[tuple[int, float | None]]) -> _Points:
    return [(block, y) for block, y in points if y is not None and y > 0 and math.isfinite(y)]
