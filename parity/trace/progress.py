"""How far a run has come, for a progress callback that counts frames too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from parity.trace.frames import Frame, FrameSpec, Sink


@runtime_checkable
class CountsFrames(Protocol):
    """A progress callback that also wants to know how many frames have arrived."""

    def __call__(self, message: str) -> None: ...

    def frames(self, done: int, expected: int) -> None: ...


class _Counted:
    """A sink that tells of each frame once it has been taken in."""

    def __init__(self, sink: Sink, progress: CountsFrames) -> None:
        self._sink = sink
        self._progress = progress
        self._expected = 0
        self._done = 0

    def begin(self, specs: Sequence[FrameSpec]) -> None:
        self._expected, self._done = len(specs), 0
        self._sink.begin(specs)
        self._progress.frames(0, self._expected)

    def put(self, frame: Frame) -> None:
        self._sink.put(frame)
        self._done += 1
        self._progress.frames(self._done, self._expected)


def counted(sink: Sink, progress: Callable[[str], None]) -> Sink:
    """The sink; its frames are counted if the callback wants that."""
    return _Counted(sink, progress) if isinstance(progress, CountsFrames) else sink
