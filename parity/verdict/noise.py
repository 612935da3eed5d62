"""Noise floor: how far a side differs from itself from run to run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from parity.arrays.metrics import Metrics
from parity.errors import RequestError
from parity.sides.side import Side
from parity.trace.disk import load_trace
from parity.trace.frames import Trace
from parity.verdict.comparison import Column
from parity.verdict.diff import DiffSink

# Backends that choose kernels by timing them, once per process: a run from process to process
# differs more than within one.
TIMED_KERNELS = frozenset(("gpu", "cuda", "rocm"))

Floor = Mapping[str, Metrics]


def floor_here(side: Side, first: Trace, repeat: int, progress: Callable[[str], None]) -> Floor:
    """The largest self-difference of each tap, over runs in this process."""
    floor: Floor = {}
    for number in range(repeat):
        progress(f"{side.label}: noise floor, run {number + 1} of {repeat}")
        sink = DiffSink(first)
        side.run(sink)
        floor = widest(floor, _metrics(sink.column(side.label)))
    return floor


def floor_in_processes(
    arguments: Sequence[str], first: Trace, repeat: int, progress: Callable[[str], None]
) -> Floor:
    """The same, over runs in processes of their own.

    Args:
      arguments: of `parity.record`, without `--out`.

    Raises:
      RequestError: a recording failed; its last line says why.
    """
    floor: Floor = {}
    for number in range(repeat):
        progress(f"noise floor, process {number + 1} of {repeat}")
        with tempfile.TemporaryDirectory(prefix="parity-") as folder:
            out = Path(folder) / "trace"
            command = [sys.executable, "-m", "parity.record", *arguments, "--out", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:]
                raise RequestError(f"--repeat: recording in a fresh process failed: {last}")
            sink = DiffSink(first)
            for frame in load_trace(out).frames():
                sink.put(frame)
            floor = widest(floor, _metrics(sink.column("again")))
    return floor


def widest(a: Floor, b: Floor) -> Floor:
    """Of each tap, the figures with the larger difference."""
    wider = {name: metrics for name, metrics in b.items() if _size(metrics) >= _size(a.get(name))}
    return {**a, **wider}


def floor_line(floor: Floor, repeat: int, backend: str | None) -> str:
    """The floor in a line."""
    runs = f"{repeat} more runs of each side, {backend}"
    noisy = [name for name, metrics in floor.items() if metrics.mismatched]
    if not noisy:
        return f"noise floor: 0 at all {len(floor)} taps ({runs})"
    worst = max(noisy, key=lambda name: _size(floor[name]))
    return (
        f"noise floor: {len(noisy)} of {len(floor)} taps differ from run to run ({runs}); "
        f"the most at {worst}: {floor[worst].mismatched} elements, up to {floor[worst].max_abs:.3g}"
    )


def _metrics(column: Column) -> Floor:
    return {tap.tap: tap.metrics for tap in column.taps if tap.metrics is not None}


def _size(metrics: Metrics | None) -> tuple[float, int]:
    return (-1.0, -1) if metrics is None else (metrics.max_abs, metrics.mismatched)
