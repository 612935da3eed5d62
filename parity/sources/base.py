"""The Source protocol, and the source that is a JAX function."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

from parity.metrics import Metrics, compare_arrays
from parity.program.tapping import TappedFunction
from parity.record import (
    NumericsMode,
    Recording,
    TapRecorder,
    compile_recording,
    run_untapped,
)
from parity.stages import Scope, Stage, StagedSource
from parity.trace import FrameSpec, Manifest, Sink, Trace


class Source(Protocol):
    """Something that yields the frames of one run, in execution order."""

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

    def prepare(self) -> Sequence[FrameSpec]:
        """Trace and compile, or open; returns what a run will yield."""
        ...

    def run(self, sink: Sink) -> None:
        """Yield every frame to the sink, in execution order."""
        ...

    def certify(self) -> Metrics | None:
        """The last run's output against that of a run without taps; None if nothing runs here."""
        ...

    def release(self) -> None:
        """Drop compiled programs and outputs, to make room."""
        ...


@dataclass
class FunctionSource:
    """A tapped JAX function and its arguments.

    Attributes:
      label: what progress messages call it.
      fn: `fn(*args, tap=…)`.
      untapped: what `certify` holds a recorded run against; by default `fn` itself. It too is
        called with a tap, one that does nothing.
      select: comma-separated glob patterns of the taps to record.
      stages: the pieces that it is made of, for a run on given values.
    """

    label: str
    fn: TappedFunction
    args: tuple[Any, ...]
    manifest: Manifest
    select: str = "*"
    numerics: NumericsMode = "default"
    untapped: TappedFunction | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[Stage] = ()
    _recording: Recording | None = field(default=None, init=False)
    _output: np.ndarray | None = field(default=None, init=False)

    def prepare(self) -> Sequence[FrameSpec]:
        self._recording = compile_recording(
            self.fn, *self.args, recorder=TapRecorder(self.select), numerics=self.numerics
        )
        return self._recording.specs

    def run(self, sink: Sink) -> None:
        if self._recording is None:
            self.prepare()
        assert self._recording is not None
        self._output = np.asarray(self._recording.run(*self.args, sink=sink))

    def certify(self) -> Metrics:
        """The last run's output against that of a run without taps; no mismatch is the proof.

        Raises:
          ValueError: nothing was run yet.
        """
        if self._output is None:
            raise ValueError("run before certifying")
        plain = self.fn if self.untapped is None else self.untapped
        return compare_arrays(
            np.asarray(run_untapped(plain, *self.args, numerics=self.numerics)), self._output
        )

    def injected(self, reference: Trace, scope: Scope) -> StagedSource:
        """The same function, in pieces, each on the reference's values.

        A function that offers no stages is one piece.
        """
        stages = self.stages or [Stage("", "whole", self.fn, self.args)]
        return StagedSource(
            self.label, stages, reference, scope, self.manifest, numerics=self.numerics
        )

    def release(self) -> None:
        self._recording = self._output = None


def environment(*packages: str) -> dict[str, Any]:
    """The manifest fields that describe this process; `packages` are added to versions."""
    device = jax.devices()[0]
    names = ("jax", "jaxlib", "numpy", *packages)
    return {
        "versions": {name: importlib.metadata.version(name) for name in names},
        "backend": device.platform,
        "device": device.device_kind,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }
