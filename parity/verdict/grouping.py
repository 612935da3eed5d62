"""How the taps of a model are grouped for a table or a picture: into rows, such as its blocks.

A tap has a place: its row, and its kind within that row. Whoever knows the model says how names are
read; `by_index` is for those of which nothing is known.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# The first index in a name: layers[3].mlp, layers.3.mlp, layers/3/mlp, layers_3.mlp. What has more
# digits is a time or a digest.
_INDEXED = re.compile(
    r"(?P<stack>.*?)(?:\[|[._/])(?P<index>[0-9]{1,9})(?:\]|(?=[._/])|$)[._/]?(?P<kind>.*)"
)


@dataclass(frozen=True)
class Place:
    """Where a tap stands.

    Attributes:
      row: the label of its row: a number where rows are of one stack.
      kind: what it is within the row; empty for a tap that is a row of its own.
    """

    row: str
    kind: str = ""


@dataclass(frozen=True)
class Row:
    """One row, and the taps through which values enter and leave it, if they were recorded."""

    label: str
    entering: str | None
    leaving: str | None

    @property
    def alone(self) -> bool:
        """A single tap, through whose row nothing runs."""
        return self.entering == self.leaving


@dataclass(frozen=True)
class Grouping:
    """The rows of one run.

    Attributes:
      noun: what a row is called: `block`, `layers`, or `tap` where each tap is a row.
      places: by tap.
      rows: in execution order.
      shown: labels of the rows of a short table; all, if empty.
    """

    noun: str = "tap"
    places: Mapping[str, Place] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    shown: Sequence[str] = ()

    def row(self, tap: str) -> str:
        """The label of a tap's row."""
        return self.places[tap].row if tap in self.places else tap

    def kind(self, tap: str) -> str:
        """What the tap is within its row; its name where it is a row of its own."""
        place = self.places.get(tap)
        return place.kind if place is not None and place.kind else tap

    def number(self, tap: str) -> int | None:
        """The index of a tap's row; None where rows have no numbers."""
        label = self.row(tap)
        return int(label) if label.isdecimal() and label != tap else None

    def entering(self, tap: str) -> str | None:
        """The tap through which values enter a tap's row; None where nothing runs through it."""
        row = self._by_label.get(self.row(tap))
        return None if row is None or row.alone else row.entering

    def ending_at(self, taps: Sequence[str], rule: GroupingRule) -> Grouping:
        """The rows with their ends among these taps, where the rule finds any there."""
        among = rule(taps)
        ends: dict[str, Row] = {}
        for tap in taps:
            ends.setdefault(self.row(tap), among._by_label[among.row(tap)])
        rows = []
        for row in self.rows:
            end = ends.get(row.label, row)
            entering, leaving = end.entering or row.entering, end.leaving or row.leaving
            rows.append(Row(row.label, entering, leaving))
        return dataclasses.replace(self, rows=rows)

    @functools.cached_property
    def _by_label(self) -> dict[str, Row]:
        return {row.label: row for row in self.rows}

    @property
    def boundaries(self) -> frozenset[str]:
        """The taps at which rows meet."""
        ends = (tap for row in self.rows for tap in (row.entering, row.leaving))
        return frozenset(tap for tap in ends if tap is not None)


# Reads the names of a run's taps, in execution order.
GroupingRule = Callable[[Sequence[str]], Grouping]


def grouped(noun: str, places: Mapping[str, Place]) -> Grouping:
    """Rows of placed taps: what leaves a row, its last tap, is what enters the next.

    A row of one tap alone ends where it begins.
    """
    taps: dict[str, list[str]] = {}
    for tap, place in places.items():
        taps.setdefault(place.row, []).append(tap)
    rows, before = [], None
    for label, found in taps.items():
        leaving = found[-1]
        rows.append(Row(label, leaving if len(found) == 1 else before, leaving))
        before = leaving
    return Grouping(noun, places, rows)


def by_index(taps: Sequence[str]) -> Grouping:
    """Rows by the first index in a name; a tap without one is a row of its own."""
    found = {tap: match for tap in taps if (match := _INDEXED.fullmatch(tap))}
    stacks = dict.fromkeys(match["stack"] for match in found.values())
    if not found:
        return grouped("tap", {tap: Place(tap) for tap in taps})
    places = {}
    for tap in taps:
        match = found.get(tap)
        if match is None:
            places[tap] = Place(tap)
        else:
            label = match["index"] if len(stacks) == 1 else f"{match['stack']}[{match['index']}]"
            places[tap] = Place(label, match["kind"])
    noun = _last_word(next(iter(stacks))) if len(stacks) == 1 else "row"
    return grouped(noun, places)


def _last_word(stack: str) -> str:
    """`decoder.layers` -> `layers`; what has no name is a row."""
    words: Iterable[str] = (word for word in re.split(r"[._/]", stack) if word)
    return [*words][-1] if stack.strip("._/") else "row"
