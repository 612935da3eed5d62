"""Run a reference and candidates, one after the other, and compare as frames arrive.

The reference's trace is held once, in memory or, where it is large, in a temporary folder; of the
candidates no more than the frames in flight.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from parity.arrays.metrics import Metrics
from parity.sides.side import Side
from parity.trace.disk import DiskSink, load_trace
from parity.trace.frames import MemorySink, Trace
from parity.trace.progress import counted
from parity.verdict.comparison import Column
from parity.verdict.diff import DiffSink, check_common
from parity.verdict.plan import Candidate
from parity.verdict.taps import Status

# A reference trace of more bytes than this is kept on disk.
MEMORY_LIMIT = 4 << 30


@dataclass(frozen=True)
class Certificate:
    """Whether taps changed what they measured: one side's output with all taps against none."""

    side: str
    output: Metrics

    @property
    def holds(self) -> bool:
        return self.output.mismatched == 0

    def __str__(self) -> str:
        changed = f"{self.output.mismatched} of {self.output.size} output elements"
        verdict = "certified" if self.holds else "NOT certified"
        return f"{self.side} {verdict}: its taps changed {changed}"


@contextlib.contextmanager
def recorded(
    side: Side, progress: Callable[[str], None], memory_limit: int = MEMORY_LIMIT
) -> Iterator[Trace]:
    """The side's trace, for as long as the context lasts.

    Raises:
      RequestError: it yields no frame, or too large a trace for the disk.
    """
    progress(f"{side.label}: preparing")
    specs = side.prepare()
    size = sum(spec.nbytes for spec in specs)
    progress(f"{side.label}: running, {len(specs)} taps, {size / 1e6:,.0f} MB")
    if size <= memory_limit:
        memory = MemorySink()
        side.run(counted(memory, progress))
        yield memory.trace(side.manifest)
        return
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        with DiskSink(Path(folder), side.manifest) as disk:
            side.run(counted(disk, progress))
        yield load_trace(Path(folder))


def compare_candidate(
    reference: Trace,
    unavailable: Mapping[str, str],
    candidate: Candidate,
    progress: Callable[[str], None],
    lacking: Status = "missing",
) -> tuple[Column, Side]:
    """A candidate's column, not judged yet, and its side, compiled.

    Args:
      unavailable: taps that the reference can't yield, each with the reason.
      lacking: status of a tap that only the reference has.

    Raises:
      RequestError: the candidate has no tap in common with the reference.
    """
    side = candidate.side()
    progress(f"{candidate.name}: compiling")
    specs = side.prepare()
    progress(f"{candidate.name}: running and comparing, {len(specs)} taps")
    unavailable = {**unavailable, **side.unavailable}
    sink = DiffSink(reference, unavailable, profiled=True, lacking=lacking)
    side.run(counted(sink, progress))
    column = sink.column(candidate.name, candidate.fields)
    check_common(column, reference, specs)
    return column, side


def certificate(side: Side, progress: Callable[[str], None]) -> Certificate | None:
    """The side's output with taps against none; None if it runs nothing, as a stored trace."""
    progress(f"{side.label}: running without taps, to certify")
    output = side.certify()
    return None if output is None else Certificate(side.label, output)
