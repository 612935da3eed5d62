"""Pictures of a comparison for a paper's column: each says in a line what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.report.plots import divergence, errors, quantiles, tokens, ulp
from parity.verdict.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A figure, or why there is none.
Draw = Callable[[Comparison], "Figure | str"]
PICTURES: dict[str, Draw] = {
    "divergence": divergence.draw,
    "errors": errors.draw,
    "ulp": ulp.draw,
    "quantiles": quantiles.draw,
    "tokens": tokens.draw,
}


@dataclass(frozen=True)
class Pictures:
    """What was drawn, as names without endings, and for each that was left out the reason."""

    drawn: tuple[str, ...]
    left_out: dict[str, str]


def draw_pictures(comparison: Comparison, folder: Path) -> Pictures:
    """Each picture whose figures exist, as `NAME.png` and `NAME.svg` in an existing folder.

    Raises:
      OSError: it can't be written.
    """
    from parity.report.plots.style import save, styled

    drawn, left_out = [], {}
    for name, draw in PICTURES.items():
        with styled():
            figure = draw(comparison)
            if isinstance(figure, str):
                left_out[name] = figure
                continue
            save(figure, folder / name)
            drawn.append(name)
    return Pictures(tuple(drawn), left_out)
