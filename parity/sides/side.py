"""The Side protocol: something that can be run and watched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from parity.arrays.metrics import Metrics
from parity.program.stages import Scope, Stage
from parity.trace.frames import FrameSpec, Sink, Trace
from parity.trace.manifest import Manifest


class Side(Protocol):
    """Yields the frames of one run, in execution order."""

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    @property
    def manifest(self) -> Manifest: ...

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Taps that it can't yield, each with the reason."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What is to be known of its last run."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """The pieces that can be run on given values; none for what runs elsewhere, or ran."""
        ...

    def prepare(self) -> Sequence[FrameSpec]:
        """Trace and compile, or open; returns what a run will yield."""
        ...

    def run(self, sink: Sink) -> None:
        """Yield every frame to the sink, in execution order."""
        ...

    def injected(
        self, reference: Trace, scope: Scope, boundaries: Collection[str] = ()
    ) -> Side | None:
        """The side in pieces, each on the reference's values; None if it can't run on those.

        Args:
          boundaries: of a side that is one piece, the taps at which rows meet.
        """
        ...

    def certify(self) -> Metrics | None:
        """The last run's output against that of a run without taps; None if nothing runs here."""
        ...

    def release(self) -> None:
        """Drop compiled programs and outputs, to make room."""
        ...
