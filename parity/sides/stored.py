"""A trace on disk as a side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from parity.program.stages import Scope, Stage
from parity.trace.frames import FrameSpec, Sink, Trace
from parity.trace.manifest import Manifest


@dataclass(frozen=True)
class StoredSide:
    """Yields the frames of an opened trace."""

    trace: Trace
    label: str = "stored trace"
    unavailable: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    stages: Sequence[Stage] = ()

    @property
    def manifest(self) -> Manifest:
        return self.trace.manifest

    def prepare(self) -> Sequence[FrameSpec]:
        return self.trace.specs

    def run(self, sink: Sink) -> None:
        sink.begin(self.trace.specs)
        for frame in self.trace.frames():
            sink.put(frame)

    def injected(self, reference: Trace, scope: Scope, boundaries: Collection[str] = ()) -> None:
        """Nothing runs here."""

    def certify(self) -> None:
        """Nothing runs here."""

    def release(self) -> None:
        """Nothing to drop: frames are read from disk one by one."""
