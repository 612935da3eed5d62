"""Which columns of a comparison are explained, and what was found for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

from parity.errors import RequestError
from parity.explain.document import explained
from parity.explain.explanation import Explanation
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import Explained

Progress = Callable[[str], None]
# What asks for the explanation of a column, by the column's name.
Explainers = Mapping[str, Callable[[Progress], Explanation]]
When = Literal["auto", "always", "never"]


def with_causes(
    comparison: Comparison, explainers: Explainers, when: When, progress: Progress
) -> Comparison:
    """The comparison with the statements that cause its differences.

    Args:
      when: `auto` explains the column under test where it diverged; `always` every column in
        which something differs.
    """
    columns = [
        dataclasses.replace(column, explained=_explained(column, explainers, progress))
        if _wanted(column, column is comparison.columns[0], when) and column.name in explainers
        else column
        for column in comparison.columns
    ]
    return dataclasses.replace(comparison, columns=columns)


def _wanted(column: Column, under_test: bool, when: When) -> bool:
    if when == "always":
        return column.first_divergence is not None
    return when == "auto" and under_test and column.diverged_at is not None


def _explained(column: Column, explainers: Explainers, progress: Progress) -> Explained:
    """What stands in the way of one is said in its place: the figures are not lost with it."""
    progress(f"{column.name}: looking for the statement that departs")
    try:
        return explained(explainers[column.name](progress))
    except RequestError as error:
        words = f"the statement was not looked for: {error}"
        return Explained([], None, [words], words)
