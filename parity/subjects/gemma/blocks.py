"""How Gemma's taps are grouped: a row per block, one column per tap of a block."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parity.verdict.grouping import Grouping, Place, Row

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
# Through these the residual stream enters and leaves a block.
_ENTERING, _LEAVING = "input", "output"
# Outside of the blocks, but shown with them.
_SHOWN = ("logits",)


def by_block(taps: Sequence[str]) -> Grouping:
    """Read `blocks.{i}.NAME`; other taps are rows of their own."""
    known = set(taps)
    places: dict[str, Place] = {}
    rows: dict[str, Row] = {}
    for tap in taps:
        found = _BLOCK.fullmatch(tap)
        if found is None:
            places[tap], rows[tap] = Place(tap), Row(tap, tap, tap)
            continue
        number, kind = found.groups()
        places[tap] = Place(number, kind)
        ends = (f"blocks.{number}.{end}" for end in (_ENTERING, _LEAVING))
        entering, leaving = (end if end in known else None for end in ends)
        rows[number] = Row(number, entering, leaving)
    blocks = {place.row for place in places.values() if place.kind}
    shown = [label for label in rows if label in blocks or label in _SHOWN]
    return Grouping("block", places, [*rows.values()], tuple(shown))
