"""Frames arrive in any order, on any thread; they leave in execution order, each accounted for."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Sequence

import numpy as np

from parity.trace import Frame, FrameSpec, Sink

# Frames that may wait for a slow sink before the run that makes them is held up.
_WAITING = 8


class LedgerError(RuntimeError):
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
        self._queue: queue.Queue[tuple[int, np.ndarray] | None] = queue.Queue(_WAITING)
        self._arrived: Counter[int] = Counter()
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

    def put(self, index: int, value: np.ndarray) -> None:
        """Take one frame's value, blocking while too many wait."""
        self._queue.put((index, value))

    def _deliver(self) -> None:
        early: dict[int, np.ndarray] = {}
        following = 0
        while (item := self._queue.get()) is not None:
            index, value = item
            self._arrived[index] += 1
            if self._arrived[index] > 1 or self._failure is not None:
                continue
            early[index] = value
            del item, value
            try:
                while following in early:
                    self._sink.put(Frame(self._specs[following], early.pop(following)))
                    following += 1
            except BaseException as error:  # raised again on the thread that entered
                self._failure = error

    def _settle(self) -> None:
        if self._failure is not None:
            raise self._failure
        missing = [spec.name for spec in self._specs if not self._arrived[spec.index]]
        doubled = [spec for spec in self._specs if self._arrived[spec.index] > 1]
        if missing:
            raise LedgerError(
                f"{some(missing)} never arrived, expected once each; traced but not run: "
                "is it inside a branch of cond?"
            )
        if doubled:
            raise LedgerError(
                f"{some([spec.name for spec in doubled])} arrived "
                f"{self._arrived[doubled[0].index]} times, expected once: "
                "is it inside scan, a loop, vmap or remat?"
            )


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first few names, quoted, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + more
