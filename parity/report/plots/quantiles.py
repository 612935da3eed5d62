"""Errors of both sides against the oracle, quantile by quantile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report.plots.points import differing
from parity.verdict.comparison import Column, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from parity.arrays.accuracy import ErrorQuantiles


def draw(comparison: Comparison) -> Figure | str:
    """Two panels, a line per column that differs: ours over the reference's error.

    Left at the first stage that makes a difference, on the reference's values; right at the last
    tap that differs, as it ran. On the diagonal both err alike; steeper, ours errs by more. Both
    are in units of the reference's largest error there, so that columns share a panel.
    """
    from parity.report.plots.style import add_legend, line_style, new_figure, set_title, shown

    columns = list(differing(comparison))
    wanted = [
        (title, found)
        for title, errors_of in (("first stage that differs", _made), ("last tap, as it ran", _ran))
        if (found := {n: errors for n, column in columns if (errors := errors_of(column))})
    ]
    if not wanted:
        return "no error was measured against an oracle"
    figure = new_figure(2.6)
    panels = figure.subplots(1, len(wanted), squeeze=False)[0]
    for axes, (title, found) in zip(panels, wanted, strict=True):
        for number, errors in found.items():
            unit = max(map(abs, errors.reference))
            x, y = ([e / unit for e in each] for each in (errors.reference, errors.ours))
            axes.plot(x, y, **line_style(number, len(comparison.columns)))
        axes.axline((0, 0), slope=1, color="0.5", linewidth=0.8, zorder=1)
        axes.set_title(title)
        axes.set_xlabel("error of the reference")
        axes.set_xlim(-1.08, 1.08)
        axes.set_xticks([-1, 0, 1])
        reach = max(1.08, *map(abs, axes.get_ylim()))
        axes.set_ylim(-reach, reach)
    panels[0].set_ylabel("error of the column")
    for number, column in columns:
        if not any(number in found for _, found in wanted):
            continue
        style = line_style(number, len(comparison.columns))
        panels[0].plot([], [], label=shown(column.name), **style)
    set_title(figure, comparison, "Quantiles of errors to the oracle, the reference's largest = 1")
    add_legend(figure, panels[0])
    return figure


def _made(column: Column) -> ErrorQuantiles | None:
    """Errors of the first stage that makes a difference."""
    made = (tap.stage.accuracy for tap in column.taps if tap.stage and tap.stage.accuracy)
    return next((each.errors for each in made if _usable(each.errors)), None)


def _ran(column: Column) -> ErrorQuantiles | None:
    """Errors of the last tap that differs, as it ran."""
    ran = (tap.accuracy for tap in reversed(column.taps) if tap.accuracy)
    return next((each.errors for each in ran if _usable(each.errors)), None)


def _usable(errors: ErrorQuantiles | None) -> bool:
    """There are some, and the reference's are not all 0."""
    return errors is not None and any(errors.reference)
