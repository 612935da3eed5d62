"""Divergence against depth: how much of the residual stream differs, and by how far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.comparison import Comparison

# Told apart in greyscale by dash and marker, not by colour alone.
_STYLES = [("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("P", "--"), ("X", "-.")]


def draw_divergence(comparison: Comparison, path: Path) -> None:
    """Two panels over the block index, a line per column, drawn off screen.

    Above, the share of the block's output that mismatches, whose ceiling is 1. Below, the ULP
    distance: its 99th percentile as a line, and its largest value, which values near zero that
    change sign send to the tens of thousands at once, as a faint one.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, (share, ulp) = pyplot.subplots(
        2, 1, sharex=True, figsize=(6.4, 5.6), layout="constrained"
    )
    for number, column in enumerate(comparison.columns):
        taps = [tap for tap in column.taps if tap.tap == f"blocks.{tap.block}.output"]
        points = [(tap.block, tap.metrics) for tap in taps if tap.metrics is not None]
        blocks = [block for block, _ in points]
        marker, dash = _STYLES[number % len(_STYLES)]
        style: dict[str, Any] = {"marker": marker, "linestyle": dash, "linewidth": 1.3}
        # Later columns are drawn smaller, so that lines which coincide can all be seen.
        style["markersize"] = max(3.0, 7.5 - 1.5 * number)
        label = column.name.replace("$", r"\$")
        shares = [metrics.mismatched / max(metrics.size, 1) for _, metrics in points]
        (line,) = share.plot(blocks, shares, label=label, **style)
        style["color"] = line.get_color()
        ulp.plot(blocks, [metrics.p99_ulp or 0 for _, metrics in points], **style)
        largest = [metrics.max_ulp or 0 for _, metrics in points]
        ulp.plot(blocks, largest, color=line.get_color(), linewidth=0.8, alpha=0.5)
    share.axhline(1, color="0.6", linewidth=0.8)
    share.set_ylim(-0.04, 1.08)
    share.set_ylabel("mismatched share\nof block output")
    ulp.set_yscale("symlog", linthresh=1)
    top = max(1.0, ulp.get_ylim()[1])
    ulp.set_ylim(-0.3, 3 * top)
    ulp.set_ylabel("ULP distance:\n99th percentile, largest (faint)")
    ulp.set_xlabel("block")
    ulp.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (share, ulp):
        axes.grid(color="0.88", linewidth=0.6)
        axes.set_axisbelow(True)
    manifest = comparison.manifest
    share.set_title(
        f"{manifest.get('model')}, {manifest.get('dtype')}, "
        f"tokens {manifest.get('tokens_shape')}, against {manifest.get('reference')}",
        fontsize=10,
    )
    figure.legend(*share.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
