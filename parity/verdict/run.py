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
from typing import Any

from parity.arrays.metrics import Metrics
from parity.errors import RequestError
from parity.sides.function import FunctionSource, Source
from parity.trace.disk import DiskSink, load_trace
from parity.trace.frames import MemorySink, Trace
from parity.trace.progress import counted
from parity.verdict.comparison import Column
from parity.verdict.diff import DiffSink

# A reference trace of more bytes than this is kept on disk.
MEMORY_LIMIT = 4 << 30


@dataclass(frozen=True)
class Candidate:
    """A column to be: its heading, the fields it changes, and how to make its source."""

    name: str
    fields: Mapping[str, Any]
    source: Callable[[], FunctionSource]


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
    source: Source, progress: Callable[[str], None], memory_limit: int = MEMORY_LIMIT
) -> Iterator[Trace]:
    """The source's trace, for as long as the context lasts.

    Raises:
      RequestError: it yields no frame, or too large a trace for the disk.
    """
    progress(f"{source.label}: preparing")
    specs = source.prepare()
    size = sum(spec.nbytes for spec in specs)
    progress(f"{source.label}: running, {len(specs)} taps, {size / 1e6:,.0f} MB")
    if size <= memory_limit:
        memory = MemorySink()
        source.run(counted(memory, progress))
        yield memory.trace(source.manifest)
        return
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        with DiskSink(Path(folder), source.manifest) as disk:
            source.run(counted(disk, progress))
        yield load_trace(Path(folder))


def compare_candidate(
    reference: Trace,
    unavailable: Mapping[str, str],
    candidate: Candidate,
    progress: Callable[[str], None],
) -> tuple[Column, FunctionSource]:
    """A candidate's column, not judged yet, and its source, compiled.

    Args:
      unavailable: taps that the reference can't yield, each with the reason.

    Raises:
      RequestError: the candidate has no tap in common with the reference.
    """
    source = candidate.source()
    progress(f"{candidate.name}: compiling")
    specs = source.prepare()
    progress(f"{candidate.name}: running and comparing, {len(specs)} taps")
    sink = DiffSink(reference, {**unavailable, **source.unavailable}, profiled=True)
    source.run(counted(sink, progress))
    column = sink.column(candidate.name, candidate.fields)
    if not column.compared:
        raise RequestError(
            f"{candidate.name} and the reference have no tap in common that can be compared; "
            f"it has {len(specs)} taps, the reference {len(reference.specs)}"
        )
    return column, source


def certificate(source: Source, progress: Callable[[str], None]) -> Certificate | None:
    """The source's output with taps against none; None if it runs nothing, as a stored trace."""
    progress(f"{source.label}: running without taps, to certify")
    output = source.certify()
    return None if output is None else Certificate(source.label, output)
