"""Which taps the pictures show."""

from __future__ import annotations

from collections.abc import Iterator

from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import TapDiff


def block_outputs(column: Column) -> list[TapDiff]:
    """The residual stream leaving each block, where it was compared."""
    return [
        tap
        for tap in column.taps
        if tap.tap == f"blocks.{tap.block}.output" and tap.metrics is not None
    ]


def differing(comparison: Comparison) -> Iterator[tuple[int, Column]]:
    """Columns with elements that differ, each with its place, to which its line style belongs."""
    for number, column in enumerate(comparison.columns):
        if any(tap.metrics is not None and tap.metrics.mismatched for tap in column.taps):
            yield number, column
