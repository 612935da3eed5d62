"""The trace of any callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parity.sides.callables import call_of
from parity.sides.function import function_side
from parity.trace.frames import MemorySink, Trace
from parity.trace.recorder import NumericsMode


def record_trace(
    fn: Callable[..., Any], *inputs: Any, taps: str = "*", numerics: NumericsMode = "default"
) -> Trace:
    """Every tap and every output of one run of `fn(*inputs)`, in memory.

    Args:
      fn: a callable of pytrees of arrays; a keyword argument `tap` is given to one that takes it.
      taps: comma-separated glob patterns of the frames to keep.

    Raises:
      RequestError: it can't be run, or no frame is selected.
      LedgerError: a frame is missing or doubled, or a name occurs twice.
    """
    call = call_of(fn, *inputs)
    side = function_side(call, inputs, call.label, select=taps, numerics=numerics)
    sink = MemorySink()
    side.run(sink)
    return sink.trace(side.manifest)
