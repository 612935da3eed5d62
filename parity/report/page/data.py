"""What the page draws, in columns: small for tens of thousands of rows, quick to read.

Figures of all taps are one document. Profiles, of which few are looked at, follow in pieces that
the page unpacks when a tap of theirs is opened.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parity.report.inert import one_line

# Taps per piece of profiles: small enough to be unpacked between two frames.
PIECE = 64
_WORDS = ("index", "tap", "block", "row", "kind", "status", "reason", "profile", "max_abs_at")
# Shown as they are: of these, every digit counts.
_EXACT = ("reference_at_max", "ours_at_max")
_DIGITS = 6
# Of what is only drawn: a chart 400 pixels wide shows no more.
_DRAWN_DIGITS = 2


@dataclass(frozen=True)
class PageData:
    """What is embedded, ready to be written as JSON.

    Attributes:
      overview: names, statuses and figures of all taps of all columns.
      pieces: per column, lists of at most `PIECE` profiles, in the order of the column's taps.
    """

    overview: dict[str, Any]
    pieces: list[list[list[Any]]]


def page_data(document: Mapping[str, Any]) -> PageData:
    """Of a comparison's document."""
    names, statuses, reasons = _Numbers(), _Numbers(), _Numbers()
    columns, pieces = [], []
    for column in document["columns"]:
        rows = column["taps"]
        taps = [names[row["tap"]] for row in rows]
        figures = [key for key in rows[0] if key not in _WORDS] if rows else []
        columns.append(
            {
                "name": one_line(column["name"]),
                "taps": taps,
                "status": [statuses[row["status"]] for row in rows],
                "reason": [reasons[row["reason"]] for row in rows],
                "at": [row["max_abs_at"] for row in rows],
                "figures": {key: [_rounded(key, row[key]) for row in rows] for key in figures},
                "causes": (column["explained"] or {"causes": []})["causes"],
            }
        )
        profiles = [_drawn(row["profile"]) for row in rows]
        pieces.append([profiles[i : i + PIECE] for i in range(0, len(profiles), PIECE)])
    overview = {
        "piece": PIECE,
        "taps": [one_line(name) for name in names.values],
        **_map(document),
        "statuses": statuses.values,
        "reasons": [one_line(reason) for reason in reasons.values],
        "columns": columns,
    }
    return PageData(overview, pieces)


def _map(document: Mapping[str, Any]) -> dict[str, Any]:
    """The rows and columns of the map, and for each tap its place there as numbers of both.

    A tap that is alone in its row has no place.
    """
    taps = {tap["tap"]: tap for column in document["columns"] for tap in column["taps"]}
    together = collections.Counter(tap["row"] for tap in taps.values())
    rows, kinds = _Numbers(), _Numbers()
    places: list[tuple[int, int] | None] = []
    taken: set[tuple[str, str]] = set()
    for name, tap in taps.items():
        row, kind = tap["row"], tap["kind"]
        if kind == name:
            if together[row] == 1:
                places.append(None)
                continue
            kind = ""
        if (row, kind) in taken:  # two ways to write one name
            kind = name
        taken.add((row, kind))
        places.append((rows[row], kinds[kind]))
    return {
        "noun": one_line(document["rows"]),
        "rows": [one_line(row) for row in rows.values],
        "kinds": [one_line(kind) or "itself" for kind in kinds.values],
        "places": places,
    }


class _Numbers:
    """Numbers for words in the order in which they are first met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __getitem__(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers))

    @property
    def values(self) -> list[str]:
        return list(self._numbers)


def _drawn(profile: dict[str, Any] | None) -> dict[str, Any] | None:
    """A profile with its errors rounded to what a chart can show.

    Not the quantiles: they lie close to a diagonal, and how close is what their chart shows.
    """
    if profile is None:
        return None
    magnitudes, tokens = profile["by_magnitude"], profile["by_token"]
    errors = {key: [*map(_coarse, magnitudes[key])] for key in ("max_abs", "mean_abs")}
    if tokens is not None:
        tokens = {**tokens, "max_abs": [[*map(_coarse, row)] for row in tokens["max_abs"]]}
    return {**profile, "by_magnitude": {**magnitudes, **errors}, "by_token": tokens}


# Of four digits, values recur among the million of a large report.
@functools.lru_cache(maxsize=1 << 17)
def _coarse(value: float) -> float:
    return float(f"{value:.{_DRAWN_DIGITS - 1}e}")


def _rounded(key: str, value: Any) -> Any:
    if isinstance(value, float) and key not in _EXACT:
        return float(f"{value:.{_DIGITS}g}")
    return value
