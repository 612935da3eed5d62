"""Which tokens differ: row against position, shaded by the share of elements that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.report.plots.points import Point, RowAxis, differing, row_axis
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More panels than this would be too small to read.
_PANELS = 3
# Labels of rows that a panel has room for, and their letters.
_LABELS, _LETTERS = 7, 18


def draw(comparison: Comparison) -> Figure | str:
    """A panel per column that differs, up to three; rows of the batch side by side in it."""
    from matplotlib.colors import LogNorm

    from parity.report.plots.style import new_figure, row_ticks, set_title, shown

    rows = row_axis(comparison)
    grids = [
        (column, grid)
        for _, column in differing(comparison)
        if (grid := _grid(rows, column)) is not None
    ]
    if not grids:
        return "nothing that leaves a row and differs was profiled by token"
    title = f"Differences by token and {rows.shown.words}"
    if len(grids) > _PANELS:
        title += f" (first {_PANELS} of {len(grids)})"
        grids = grids[:_PANELS]
    figure = new_figure(0.9 + 1.15 * len(grids))
    panels = figure.subplots(len(grids), 1, squeeze=False)[:, 0]
    least = min(float(grid.shares[grid.shares > 0].min()) for _, grid in grids)
    least = min(least, 0.5)
    norm = LogNorm(least, 1)
    image: Any = None
    for axes, (column, grid) in zip(panels, grids, strict=True):
        axes.grid(visible=False)
        image = axes.imshow(
            np.ma.masked_less_equal(grid.shares, 0),
            aspect="auto",
            cmap="cividis_r",
            norm=norm,
            interpolation="nearest",
            extent=(-0.5, grid.width - 0.5, rows.last + 0.5, rows.first - 0.5),
        )
        for place in grid.absent:
            axes.axhspan(place - 0.5, place + 0.5, facecolor="0.9", hatch="////", edgecolor="0.75")
        for batch in range(1, grid.batch):
            axes.axvline(batch * grid.width / grid.batch - 0.5, color="0.3", linewidth=0.8)
        axes.set_ylabel(shown(rows.shown.noun))
        row_ticks(axes.yaxis, rows, _LABELS, _LETTERS)
        axes.set_xticks(*_ticks(grid))
        axes.set_title(shown(column.name, 50), loc="left", pad=3)
    batch = max(grid.batch for _, grid in grids)
    panels[-1].set_xlabel("position" if batch == 1 else f"position; {batch} rows side by side")
    bar = figure.colorbar(image, ax=list(panels), aspect=30, pad=0.02, format="{x:g}")
    decades = [a / 10**i for i in range(8) for a in ((1, 0.5, 0.2) if least > 1e-2 else (1,))]
    bar.set_ticks([share for share in decades if share >= least])
    bar.minorticks_off()
    absent = "; hatched: not known)" if any(grid.absent for _, grid in grids) else ")"
    bar.set_label(f"share that differs\n(white: none{absent}")
    set_title(figure, comparison, title)
    return figure


@dataclass(frozen=True)
class _Grid:
    """Shares by row and position.

    Attributes:
      shares: [rows][batch * cells].
      batch: rows of the batch.
      width: their positions together.
      absent: places of rows that were not compared, or that differ in what isn't known by token.
    """

    shares: Any
    batch: int
    width: int
    absent: Sequence[int]


def _ticks(grid: _Grid) -> tuple[list[int], list[int]]:
    """Where the axis has ticks, and the position within its row that each stands for."""
    length = grid.width // grid.batch
    step = max(1, -(-length * grid.batch // 8))
    at = [row * length + i for row in range(grid.batch) for i in range(0, length, step)]
    return at, [place % length for place in at]


def _grid(rows: RowAxis, column: Column) -> _Grid | None:
    """A column's shares where it differs; None where that is nowhere known by token."""
    points = rows.points(column)
    like = next((found for _, tap in points if (found := _tokens(tap))), None)
    if like is None:
        return None
    known = [(place, tap) for place, tap in points if _tokens(tap) == like or not _differs(tap)]
    return _filled(rows, known, *like)


def _differs(tap: TapDiff) -> bool:
    return tap.metrics is None or tap.metrics.mismatched > 0


def _tokens(tap: TapDiff) -> tuple[int, int, int] | None:
    """Rows of the batch, positions, and cells of a row; None where they aren't known."""
    grid = tap.profile.by_token if tap.profile else None
    return None if grid is None else (len(grid.mismatched), grid.positions, len(grid.mismatched[0]))


def _filled(
    rows: RowAxis, points: Sequence[Point], batch: int, positions: int, cells: int
) -> _Grid:
    shares = np.zeros((len(rows.labels), batch * cells))
    for place, tap in points:
        shares[place - rows.first] = _shares(tap)
    present = {place for place, _ in points}
    absent = [place for place in range(rows.first, rows.last + 1) if place not in present]
    return _Grid(shares, batch, batch * positions, absent)


def _shares(tap: TapDiff) -> Any:
    """The share of differing elements at each cell of a tap, flat; 0 where nothing differs."""
    if tap.profile is None or tap.profile.by_token is None or tap.metrics is None:
        return 0.0
    grid = tap.profile.by_token
    mismatched = np.asarray(grid.mismatched, float)
    rows, cells = mismatched.shape
    positions = np.full(cells, grid.bucket)
    positions[-1] = grid.positions - grid.bucket * (cells - 1)
    each = tap.metrics.size / (rows * grid.positions)
    shares = mismatched * tap.profile.sampled / (positions * each)
    return np.minimum(shares, 1).reshape(-1)
