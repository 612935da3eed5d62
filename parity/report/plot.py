"""Divergence against depth: how much of the residual stream differs, and by how far."""

from __future__ import annotations

from pathlib import Path

from parity.diff import Comparison

# Told apart in greyscale by dash and marker, not by colour alone.
_STYLES = [("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("P", "--"), ("X", "-.")]


def draw_divergence(comparison: Comparison, path: Path) -> None:
    """Two panels over the block index, a line per column: mismatched share, largest ULP distance.

    The share's ceiling is 1; columns without a difference lie at 0. Drawn off screen.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, (share, ulp) = pyplot.subplots(
        2, 1, sharex=True, figsize=(6.4, 5.4), layout="constrained"
    )
    for number, column in enumerate(comparison.columns):
        taps = [tap for tap in column.taps if tap.tap == f"blocks.{tap.block}.output"]
        points = [(tap.block, tap.metrics) for tap in taps if tap.metrics is not None]
        marker, dash = _STYLES[number % len(_STYLES)]
        style = {"marker": marker, "linestyle": dash, "markersize": 4.5, "linewidth": 1.3}
        label = column.name.replace("$", r"\$")
        blocks = [block for block, _ in points]
        # Later columns are drawn smaller, so that lines which coincide can all be seen.
        style["markersize"] = max(3.0, 7.5 - 1.5 * number)
        share.plot(blocks, [m.mismatched / max(m.size, 1) for _, m in points], label=label, **style)
        ulp.plot(blocks, [m.max_ulp or 0 for _, m in points], label=label, **style)
    share.axhline(1, color="0.6", linewidth=0.8)
    share.set_ylim(-0.04, 1.08)
    share.set_ylabel("mismatched share\nof block output")
    ulp.set_yscale("symlog", linthresh=1)
    ulp.set_ylim(bottom=-0.2)
    ulp.set_ylabel("largest ULP distance")
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
