"""What is to be compared with what: references, what is held against each, and how closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from parity.program.oracle import OracleDType
from parity.program.stages import Scope
from parity.sides.side import Side
from parity.trace.manifest import Manifest
from parity.verdict.grouping import GroupingRule, by_index
from parity.verdict.taps import Status

Inject = Literal["auto", "none", "blocks", "taps", "both"]
SCOPES: dict[Inject, tuple[Scope, ...]] = {
    "auto": ("blocks", "taps"),
    "none": (),
    "blocks": ("blocks",),
    "taps": ("taps",),
    "both": ("blocks", "taps"),
}


@dataclass(frozen=True)
class Candidate:
    """A column to be: its heading, the fields it changes, and how to make its side."""

    name: str
    fields: Mapping[str, Any]
    side: Callable[[], Side]


def _own(side: Side) -> Side | None:
    return side if side.stages else None


@dataclass(frozen=True)
class Held:
    """One reference, and what is held against it.

    Attributes:
      reference: opens it, for as long as it is needed.
      candidates: a column each; the first is the one under test.
      formula: given the opened reference, a side with its formula that an oracle can evaluate.
      ours: our side once more, for the noise floor.
      alone: arguments of `parity.record` for the reference and for ours, where only a process of
        its own shows how a side differs from itself.
      note: said of these columns.
    """

    reference: Callable[[], AbstractContextManager[Side]]
    candidates: Sequence[Candidate]
    formula: Callable[[Side], Side | None] = _own
    ours: Callable[[], Side] | None = None
    alone: tuple[Sequence[str], Sequence[str]] | None = None
    note: Callable[[Manifest], str] | None = None


@dataclass(frozen=True)
class Plan:
    """One comparison to be made.

    Attributes:
      manifest: of the side under test.
      held: the first is what the figures of parity are of.
      facts: what a report says of the run, beside the manifest.
      blind_spots: faults that this input can't show.
      allow: statuses that are parity too.
      lacking: status of a tap that only a reference has.
      rule: reads rows in the names of taps.
      injectable: every tap is recorded, so that pieces can run on the reference's values.
      notes: said before anything runs.
      explainers: by a column's name, what finds the statements that cause its differences, for
        `parity.explain`; columns without one can't be explained.
    """

    manifest: Manifest
    held: Sequence[Held]
    facts: Mapping[str, Any] = field(default_factory=dict)
    blind_spots: Sequence[str] = ()
    allow: frozenset[Status] = frozenset()
    lacking: Status = "missing"
    rule: GroupingRule = by_index
    injectable: bool = True
    notes: Sequence[str] = ()
    explainers: Mapping[str, Callable[[Callable[[str], None]], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How closely to look.

    Attributes:
      certify: prove for each side that runs that its taps changed nothing.
      inject: measure local errors in rows, between taps, or both; `auto`: both, for columns that
        differ somewhere.
      oracle: dtype of the oracle; None for none.
      repeat: how often each side is run again for the noise floor.
    """

    certify: bool = False
    inject: Inject = "auto"
    oracle: OracleDType | None = "float64"
    repeat: int = 0
