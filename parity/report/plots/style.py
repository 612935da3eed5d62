"""What every picture shares: one column's width, lines told apart in greyscale, inert names.

Figures are made here and not by pyplot: nothing is global, and no display is asked for.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.report.facts import run_name
from parity.report.labels import shortened
from parity.report.plots.points import RowAxis
from parity.verdict.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH = 3.4  # inches: a column of a paper
_DPI = 300
_LONGEST = 26
# Letters of a label on an axis, labels on end that fit side by side, letters that do so lying.
_TICK, _UPRIGHT, _SIDE_BY_SIDE = 22, 26, 52
# From dark to light and back, so that neighbours differ in greyscale, by marker and by dash too.
_LINES = [
    ("#000000", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#0072B2", "^", "-."),
    ("#B07900", "D", ":"),
    ("#7B3294", "v", (0, (5, 1, 1, 1, 1, 1))),
    ("#3C8DBC", "P", (0, (6, 2))),
    ("#009E73", "X", (0, (1, 1))),
]
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "svg.hashsalt": "parity",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """matplotlib's settings for these pictures, whatever the user's own are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of a column's width and a height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """As `path`.png and `path`.svg: the same bytes for the same figures, on any day.

    Raises:
      OSError: the disk is full.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # By the canvases and not by savefig, which draws each of them twice.
    screen = figure.dpi
    figure.set_dpi(_DPI)
    FigureCanvasAgg(figure).print_png(
        path.with_name(f"{path.name}.png"), metadata={"Software": None}
    )
    figure.set_dpi(screen)
    figure.set_layout_engine("none")  # laid out already
    # Neither a date nor the versions of this machine.
    nothing = dict.fromkeys(("Date", "Creator"))
    FigureCanvasSVG(figure).print_svg(path.with_name(f"{path.name}.svg"), metadata=nothing)


def line_style(number: int, of: int) -> dict[str, Any]:
    """Colour, marker and dash of one of several lines.

    Later lines are drawn thinner, with smaller markers, so that those that coincide can be seen.
    """
    color, marker, dash = _LINES[number % len(_LINES)]
    share = number / max(of - 1, 1)
    return {
        "color": color,
        "marker": marker,
        "linestyle": dash,
        "linewidth": 1.4 - 0.4 * share,
        "markersize": 4.8 - 1.8 * share,
        "markeredgewidth": 0,
    }


def shown(name: str, longest: int = _LONGEST) -> str:
    """A name from data as text that no part of matplotlib reads as anything else.

    A dollar would begin mathematics, an underscore, or no name, would hide a line from the legend,
    and what the font hasn't got would be a warning on stderr.
    """
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    line = " ".join(name.split())
    line = "".join(c if font.get_char_index(ord(c)) else "\N{REPLACEMENT CHARACTER}" for c in line)
    if len(line) > longest:
        line = f"{line[: longest - 1]}…"
    line = line.replace("$", r"\$")
    return f" {line}" if line.startswith("_") or not line else line


def set_title(figure: Figure, comparison: Comparison, what: str) -> None:
    """What is shown, and below it of which run."""
    manifest = comparison.manifest
    facts = [run_name(manifest), manifest.get("dtype")]
    if manifest.get("tokens_shape"):
        facts.append(f"tokens {manifest['tokens_shape']}")
    if manifest.get("reference"):
        facts.append(f"against {manifest['reference']}")
    run = ", ".join(str(fact) for fact in facts if fact)
    lines = [*textwrap.wrap(what, 66)[:2], *textwrap.wrap(run, 62)[:2]]
    figure.suptitle("\n".join(shown(line, 80) for line in lines), fontsize=7)


def add_legend(figure: Figure, axes: Axes, *, columns: int = 2) -> None:
    """Below everything, as wide as the names allow."""
    handles, labels = axes.get_legend_handles_labels()
    if max(map(len, labels), default=0) > 20:
        columns = 1
    elif max(map(len, labels), default=0) < 11:
        columns = 3
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(columns, max(len(labels), 1)),
        handlelength=3.4,
        frameon=False,
    )


def row_ticks(axis: Axis, rows: RowAxis, most: int, longest: int = _TICK) -> None:
    """Ticks at rows: numbers, or labels of so many letters; of more labels, every n-th."""
    from matplotlib.axis import XAxis
    from matplotlib.ticker import MaxNLocator

    if rows.start is not None:
        axis.set_major_locator(MaxNLocator(10 if isinstance(axis, XAxis) else 5, integer=True))
        return
    every = max(1, math.ceil(len(rows.labels) / most))
    labels = [shown(label, longest) for label in shortened(rows.labels, longest)]
    axis.set_ticks(list(range(rows.first, rows.last + 1, every)), labels[::every])


def upright(rows: RowAxis) -> bool:
    """Labels of rows are too long to stand side by side under an axis."""
    return rows.start is None and sum(min(len(x), _TICK) + 2 for x in rows.labels) > _SIDE_BY_SIDE


def under(axes: Axes, rows: RowAxis) -> None:
    """The x axis has a place for each row."""
    axes.set_xlabel(shown(rows.shown.noun))
    row_ticks(axes.xaxis, rows, _UPRIGHT)
    axes.tick_params(axis="x", labelrotation=90 if upright(rows) else 0)
    axes.set_xlim(rows.first - 0.5, rows.last + 0.5)
