"""What every picture shares: one column's width, lines told apart in greyscale, inert names.

Figures are made here and not by pyplot: nothing is global, and no display is asked for.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.verdict.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 3.4  # inches: a column of a paper
_DPI = 300
_LONGEST = 26
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
    facts = [manifest.get("model"), manifest.get("dtype")]
    if manifest.get("tokens_shape"):
        facts.append(f"tokens {manifest['tokens_shape']}")
    if manifest.get("reference"):
        facts.append(f"against {manifest['reference']}")
    run = ", ".join(str(fact) for fact in facts if fact)
    lines = [shown(line, 80) for line in textwrap.wrap(run, 62)[:2]]
    figure.suptitle("\n".join([what, *lines]), fontsize=7)


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


def block_axis(axes: Axes, blocks: Sequence[int]) -> None:
    """The x axis counts blocks."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if blocks:
        axes.set_xlim(min(blocks) - 0.5, max(blocks) + 0.5)
