"""The page of Gemma's taps, made of the one table that the code has."""

from __future__ import annotations

from collections.abc import Sequence

from jaxformer.taps import BLOCK_TAPS, MODEL_TAPS, TapPoint

LETTERS = {
    "B": "batch",
    "T": "tokens",
    "S": "keys: as many as tokens, unless there is a cache",
    "D": "width of the model",
    "N": "query heads",
    "K": "heads of keys and values",
    "H": "width of a head",
    "F": "width of the MLP",
    "V": "vocabulary",
}
_HEAD = """\
# The taps of Gemma 3

The points at which Gemma 3 is watched, whoever computes it: jaxformer, the official package or
transformers. `{i}` stands for a block's number, from 0. `python -m pytest tests/test_readme.py
--write-reports` writes this page from `jaxformer/taps.py`.
"""


def taps_page() -> str:
    """In Markdown: a table of the taps of the model, of those of a block, and the letters."""
    letters = "".join(f"- {letter}: {words}\n" for letter, words in LETTERS.items())
    return (
        f"{_HEAD}\n## Of the model\n\n{_table(MODEL_TAPS, '')}"
        f"\n## Of each block\n\n{_table(BLOCK_TAPS, 'blocks.{i}.')}"
        f"\n## Letters of shapes\n\n{letters}"
    )


def _table(points: Sequence[TapPoint], prefix: str) -> str:
    rows = (f"| `{prefix}{p.name}` | {' '.join(p.letters)} | {p.meaning} |\n" for p in points)
    return "| tap | shape | meaning |\n|---|---|---|\n" + "".join(rows)
