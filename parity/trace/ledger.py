"""Frames arrive in any order, on any thread; they leave in execution order, each accounted for."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Sequence

import numpy as np

from parity.errors import RequestError
from parity.trace.frames import Frame, FrameSpec, Sink

# Frames that may wait for a slow sink before the run that makes them is held up.
_WAITING = 8


class LedgerError(RequestError):
    """A run did not deliver each expected frame exactly once."""


class OrderedDelivery:
    """Hands frames to a sink in index order, on one thread of its own; settles the ledger.

    A context manager: `put` may be called from any thread within it, and leaving it waits for the
    sink. The thread is started by whoever enters. Doing the sink's work on the threads that call
    `put` would not do: XLA's threads flush denormals to zero, and so would NumPy on them (or on
    any thread that they start), and two small values that differ would compare as equal.

    Raises on leaving:
      LedgerError: a frame is missing or came more than once.
      Exception: whatever the sink raised.
    """

    def __init__(self, specs: Sequence[FrameSpec], sink: Sink) -> None:
        self._specs = specs
        self._sink = sink
        self._queue: queue.Queue[tuple[int, int, np.ndarray] | None] = queue.Queue(_WAITING)
        self._arrived: Counter[tuple[int, int]] = Counter()
        self._partial: dict[int, np.ndarray] = {}
        self._filled: Counter[int] = Counter()
        self._whole: set[int] = set()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._deliver, name="parity-sink", daemon=True)

    def __enter__(self) -> OrderedDelivery:
        self._sink.begin(self._specs)
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._settle()

    def put(self, index: int, start: int, value: np.ndarray) -> None:
        """Take a frame's value, or a flat piece of it from `start` on; blocks while many wait."""
        self._queue.put((index, start, value))

    def _deliver(self) -> None:
        early: dict[int, np.ndarray] = {}
        following = 0
        while (item := self._queue.get()) is not None:
            index, start, value = item
            self._arrived[index, start] += 1
            if self._arrived[index, start] > 1 or self._failure is not None:
                continue
            whole = self._assemble(index, start, value)
            del item, value
            if whole is None:
                continue
            early[index] = whole
            del whole
            try:
                while following in early:
                    self._sink.put(Frame(self._specs[following], early.pop(following)))
                    following += 1
            except BaseException as error:  # raised again on the thread that entered
                self._failure = error

    def _assemble(self, index: int, start: int, value: np.ndarray) -> np.ndarray | None:
        """The frame, once all of it is there."""
        spec = self._specs[index]
        if value.size < spec.size:
            if index not in self._partial:
                self._partial[index] = np.empty(spec.size, value.dtype)
            self._partial[index][start : start + value.size] = value
            self._filled[index] += value.size
            if self._filled[index] < spec.size:
                return None
            value = self._partial.pop(index).reshape(spec.shape)
        self._whole.add(index)
        return value

    def _settle(self) -> None:
        if self._failure is not None:
            raise self._failure
        missing = [spec.name for spec in self._specs if spec.index not in self._whole]
        doubled = {index: times for (index, _), times in self._arrived.items() if times > 1}
        if missing:
            raise LedgerError(
                f"{some(missing)} never arrived, expected once each; if it is inside a branch, "
                "record hoisted(fn, route_of(fn, *args)), of parity.program.loops"
            )
        if doubled:
            names = [self._specs[index].name for index in sorted(doubled)]
            raise LedgerError(
                f"{some(names)} arrived {doubled[min(doubled)]} times, expected once: "
                "if it is inside a loop or vmap, record hoisted(fn), of parity.program.loops"
            )


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first few names, quoted, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + more
