"""Run a tapped function under jit; collect its frames, put them in order, account for each.

A tapped function takes a keyword argument `tap` and passes named values through it:

    def f(x, *, tap):
        h = tap("hidden", jnp.tanh(x))
        return tap("out", h @ h.T)

As a command, `python -m parity.record` records a model into a folder.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import numpy as np

from parity.errors import RequestError
from parity.trace.frames import FrameSpec, Sink
from parity.trace.ledger import LedgerError, OrderedDelivery, some
from parity.trace.tap import TappedFunction

NumericsMode = Literal["default", "strict"]

# A larger frame (logits, mostly) is handed over in pieces: JAX copies what a callback gets, and the
# allocator takes so large a block from the system each time and gives it back.
_WHOLE_BYTES = 32 << 20
_PIECE_BYTES = 8 << 20

_STRICT = {"xla_allow_excess_precision": False}
# From jaxlib 0.10.2 on sums are left to kernels of a library, which keep it all the same.
_OWN_KERNELS = {"xla_cpu_experimental_ynn_fusion_type": ""}


@functools.cache
def compiler_options(numerics: NumericsMode) -> dict[str, Any] | None:
    """What XLA is told: in `strict` each operation rounds where it is written, in fusions too."""
    if numerics == "default":
        return None
    options = {**_STRICT, **_OWN_KERNELS}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:  # this XLA has no such kernels
        return _STRICT
    return options


def untapped(name: str, value: jax.Array) -> jax.Array:
    """The tap of a run that is not recorded."""
    del name
    return value


class TapRecorder:
    """A tap that notes each point while tracing and hands over its value in each run.

    Args:
      select: comma-separated glob patterns; taps that match none are passed over.

    Attributes:
      specs: the selected taps in execution order, known once the function was traced.
      seen: names of all taps met, selected or not.
    """

    def __init__(self, select: str = "*") -> None:
        self._patterns = [pattern.strip() for pattern in select.split(",")]
        self.specs: list[FrameSpec] = []
        self.seen: list[str] = []
        self._deliver: Callable[[int, int, np.ndarray], None] | None = None
        self._broken: list[str] = []

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        if name in self.seen:
            raise LedgerError(
                f"tap {name!r} was met twice in one trace; names must be unique, "
                "so prefix them by layer"
            )
        self.seen.append(name)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns):
            spec = FrameSpec(len(self.specs), name, tuple(value.shape), str(value.dtype))
            self.specs.append(spec)
            self._watch(spec, value)
        return value

    def _watch(self, spec: FrameSpec, value: jax.Array) -> None:
        if spec.nbytes <= _WHOLE_BYTES:
            jax.debug.callback(functools.partial(self._receive, spec.index, 0), value)
            return
        # The barrier keeps the pieces out of the fusion that makes the value.
        flat = jax.lax.optimization_barrier(value).reshape(-1)
        step = _PIECE_BYTES // value.dtype.itemsize
        for start in range(0, spec.size, step):
            receive = functools.partial(self._receive, spec.index, start)
            jax.debug.callback(receive, flat[start : start + step])

    def require(self, condition: jax.Array, message: str) -> None:
        """A run in which `condition` is false raises LedgerError, with `message`."""
        jax.debug.callback(functools.partial(self._check, message), condition)

    @contextlib.contextmanager
    def delivering(self, deliver: Callable[[int, int, np.ndarray], None]) -> Iterator[None]:
        """Within this context values go to `deliver(index, start, value)`, on XLA's threads.

        `start` is the flat position of a piece in its frame, 0 for a whole one.

        Raises on leaving:
          LedgerError: a condition that was required is false.
        """
        self._deliver = deliver
        self._broken.clear()
        try:
            yield
        finally:
            self._deliver = None
        if self._broken:
            raise LedgerError(self._broken[0])

    def _check(self, message: str, condition: jax.Array) -> None:
        if not np.asarray(condition):
            self._broken.append(message)

    def _receive(self, index: int, start: int, value: jax.Array) -> None:
        # XLA calls this from its own threads, in any order; it must not call back into JAX. The
        # array is JAX's own copy, immutable and alive as long as this view of it.
        if self._deliver is not None:
            self._deliver(index, start, np.asarray(value))


class Recording:
    """A tapped function compiled with its recorder, ready to run any number of times."""

    def __init__(self, recorder: TapRecorder, executable: jax.stages.Compiled) -> None:
        self._recorder = recorder
        self._executable = executable
        self._running = threading.Lock()

    @property
    def specs(self) -> Sequence[FrameSpec]:
        """What a run will deliver, in order."""
        return self._recorder.specs

    def run(self, *args: Any, sink: Sink) -> jax.Array:
        """Run once, sending every frame to `sink` in execution order; returns the output.

        Args:
          args: of the shapes and dtypes the recording was compiled for.

        Raises:
          LedgerError: a frame is missing or doubled.
        """
        with (
            self._running,
            OrderedDelivery(self.specs, sink) as delivery,
            self._recorder.delivering(delivery.put),
        ):
            output = jax.block_until_ready(self._executable(*args))
            jax.effects_barrier()
        return output


def compile_recording(
    fn: TappedFunction,
    *args: Any,
    recorder: TapRecorder | None = None,
    numerics: NumericsMode = "default",
) -> Recording:
    """Trace and compile `fn(*args, tap=recorder)`.

    Args:
      fn: a function of pytrees of arrays with a keyword argument `tap`.
      args: arrays, or `jax.ShapeDtypeStruct` in their place.
      recorder: a fresh TapRecorder; by default one that selects every tap.
      numerics: how to compile, see compiler_options.

    Raises:
      RequestError: the function has no taps, or none is selected.
      LedgerError: a tap name occurs twice.
    """
    recorder = TapRecorder() if recorder is None else recorder
    lowered = _jit(fn, recorder, numerics).lower(*args)
    if not recorder.specs:
        found = f"it has {some(recorder.seen)}" if recorder.seen else "it has none"
        raise RequestError(f"no tap of the function is selected; {found}")
    return Recording(recorder, lowered.compile())


def run_untapped(fn: TappedFunction, *args: Any, numerics: NumericsMode = "default") -> jax.Array:
    """The output of `fn` jitted without any tap, to certify a recorded run against."""
    return jax.block_until_ready(_jit(fn, untapped, numerics)(*args))


def _jit(fn: TappedFunction, tap: Callable[..., jax.Array], numerics: NumericsMode) -> Any:
    # A new function each time, so that no cache can return a program made for another tap.
    def tapped(*args: Any) -> jax.Array:
        return fn(*args, tap=tap)

    return jax.jit(tapped, compiler_options=compiler_options(numerics))
