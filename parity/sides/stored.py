"""A trace on disk as a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from parity.trace.frames import FrameSpec, Manifest, Sink, Trace


@dataclass
class StoredSource:
    """Yields the frames of an opened trace."""

    trace: Trace
    label: str = "stored trace"
    unavailable: Mapping[str, str] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        return self.trace.manifest

    def prepare(self) -> Sequence[FrameSpec]:
        return self.trace.specs

    def run(self, sink: Sink) -> None:
        sink.begin(self.trace.specs)
        for frame in self.trace.frames():
            sink.put(frame)

    def certify(self) -> None:
        """Nothing runs here."""

    def release(self) -> None:
        """Nothing to drop: frames are read from disk one by one."""
