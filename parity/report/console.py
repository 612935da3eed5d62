"""What `parity.compare` prints: plain text, with colour and bold where a terminal shows them."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from parity.report.table import WIDTH
from parity.report.text import parts, render, verdict, verdict_paragraphs
from parity.verdict.comparison import Column, Comparison

if TYPE_CHECKING:
    from rich.text import Text

_NARROWEST = 20
_GOOD, _FAIR, _OPEN, _BAD = "green", "yellow", "magenta", "bold red"


def show(comparison: Comparison, form: str) -> None:
    """Print the comparison; a `table` is coloured, and folded at the terminal's width if narrow.

    Colour needs a terminal, or FORCE_COLOR; NO_COLOR (https://no-color.org) and TERM=dumb forbid
    it, and then nothing but plain text is printed.
    """
    width = _width()
    if form == "table" and not os.environ.get("NO_COLOR"):
        from rich.console import Console

        console = Console()
        if console.is_terminal:
            console.print(coloured(comparison, width), soft_wrap=True)
            return
    print(render(comparison, form, width))


def coloured(comparison: Comparison, width: int = WIDTH) -> Text:
    """The rendered table with its headings in bold and each column's verdict in colour."""
    from rich.text import Text

    shown = []
    for kind, lines in parts(comparison, width):
        text = Text("\n".join(lines))
        if kind == "table":
            text.stylize("bold", 0, len(lines[0]))
        elif kind == "verdicts":
            _colour_verdicts(text, comparison, width)
        shown.append(text)
    return Text("\n\n").join(shown)


def _colour_verdicts(text: Text, comparison: Comparison, width: int) -> None:
    start = 0
    paragraphs = verdict_paragraphs(comparison, width)
    for column, lines in zip(comparison.columns, paragraphs, strict=True):
        paragraph = "\n".join(lines)
        word = verdict(column).split()[0]
        # No name holds two spaces, so this is where the verdict begins.
        at = start + paragraph.find(f"  {word}") + 2
        text.stylize(_style(column), at, at + len(word))
        start += len(paragraph) + 1


def _style(column: Column) -> str:
    """The colour of a column's verdict."""
    if column.first_divergence is None:
        return _GOOD if column.compared else _FAIR
    if column.diverged_at is not None:
        return _BAD
    return _FAIR if column.unjudged_at is None else _OPEN


def _width() -> int:
    """80, or what a terminal has if that is less."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(_NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
