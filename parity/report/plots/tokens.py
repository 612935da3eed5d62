"""Which tokens differ: block against position, shaded by the share of elements that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parity.report.plots.points import block_outputs, differing
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More panels than this would be too small to read.
_PANELS = 3


def draw(comparison: Comparison) -> Figure | str:
    """A panel per column that differs, up to three; rows of the batch side by side in it."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    from parity.report.plots.style import new_figure, set_title, shown

    grids = [
        (column, grid) for _, column in differing(comparison) if (grid := _grid(column)) is not None
    ]
    if not grids:
        return "no block's output that differs was profiled by token"
    title = "Residual stream leaving each block, by token"
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
            np.ma.masked_equal(grid.shares, 0),
            aspect="auto",
            cmap="cividis_r",
            norm=norm,
            interpolation="nearest",
            extent=(-0.5, grid.width - 0.5, grid.last + 0.5, grid.first - 0.5),
        )
        for row in range(1, grid.rows):
            axes.axvline(row * grid.width / grid.rows - 0.5, color="0.3", linewidth=0.8)
        axes.set_ylabel("block")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xticks(*_ticks(grid))
        axes.set_title(shown(column.name, 50), loc="left", pad=3)
    rows = max(grid.rows for _, grid in grids)
    panels[-1].set_xlabel("position" if rows == 1 else f"position; {rows} rows side by side")
    bar = figure.colorbar(image, ax=list(panels), aspect=30, pad=0.02, format="{x:g}")
    decades = [a / 10**i for i in range(8) for a in ((1, 0.5, 0.2) if least > 1e-2 else (1,))]
    bar.set_ticks([share for share in decades if share >= least])
    bar.minorticks_off()
    bar.set_label("share that differs\n(white: none)")
    set_title(figure, comparison, title)
    return figure


class _Grid:
    """Shares by block and position, [blocks][rows * cells]; blocks not compared are nan."""

    def __init__(self, taps: list[TapDiff], cells: Any) -> None:
        blocks = [tap.block for tap in taps if tap.block is not None]
        self.first, self.last = min(blocks), max(blocks)
        self.rows = len(cells.mismatched)
        self.width = self.rows * cells.positions
        across = self.rows * len(cells.mismatched[0])
        self.shares = np.zeros((self.last - self.first + 1, across))
        for tap in taps:
            assert tap.block is not None
            self.shares[tap.block - self.first] = _shares(tap)


def _ticks(grid: _Grid) -> tuple[list[int], list[int]]:
    """Where the axis has ticks, and the position within its row that each stands for."""
    length = grid.width // grid.rows
    step = max(1, -(-length * grid.rows // 8))
    at = [row * length + i for row in range(grid.rows) for i in range(0, length, step)]
    return at, [place % length for place in at]


def _grid(column: Column) -> _Grid | None:
    taps = block_outputs(column)
    cells = [tap.profile.by_token for tap in taps if tap.profile and tap.profile.by_token]
    return _Grid(taps, cells[0]) if cells else None


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
