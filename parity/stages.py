"""Pieces of a model that run on their own, each on the reference's values.

A model offers its pieces (embedding, each block, head) as stages. Stages of one kind differ only in
their arrays, so they share one compiled program: a model of 26 blocks compiles two. What a tap then
shows was made in its own piece; with every tap's value replaced by the reference's as well, it was
made between that tap and the ones before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from parity.program.tapping import InjectingTap, TappedFunction
from parity.record import NumericsMode, Recording, TapRecorder, compile_recording
from parity.trace import Frame, FrameSpec, Manifest, Sink, Trace, numpy_dtype

Scope = Literal["blocks", "taps"]


@dataclass(frozen=True)
class Stage:
    """One piece.

    Attributes:
      prefix: of its taps' full names, such as `blocks.3.`.
      kind: pieces of one kind are one function on other arrays of the same shapes.
      fn: `fn(*args, input, tap=…)`, or `fn(*args, tap=…)` without `source`; names its taps without
        the prefix, and returns what the next stage takes.
      args: its parameters and whatever else it reads.
      source: full name of the tap whose value is its input; None for the first piece.
      taps: names of its taps where the prefix alone doesn't tell them from another piece's.
    """

    prefix: str
    kind: str
    fn: TappedFunction
    args: tuple[Any, ...]
    source: str | None = None
    taps: tuple[str, ...] | None = None

    def has(self, tap: str) -> bool:
        """A tap's full name is one of this piece."""
        return tap.startswith(self.prefix) if self.taps is None else tap in self.taps


def injecting(fn: TappedFunction) -> TappedFunction:
    """`fn` with one more argument, the values to inject by tap name, after its own."""

    def injected(*args: Any, tap: Any) -> jax.Array:
        *own, values = args
        return fn(*own, tap=InjectingTap(tap, values))

    return injected


def stage_arguments(
    stage: Stage,
    reference: Trace,
    scope: Scope,
    read: Callable[[Trace, str], Any] | None = None,
) -> tuple[Any, ...]:
    """What `injecting(stage.fn)` takes: the stage's own arguments, its input, values to inject.

    Args:
      read: makes an argument of a frame; by default its array.

    Raises:
      KeyError: the reference has no frame for the stage's input.
    """
    read = _array if read is None else read
    given = () if stage.source is None else (read(reference, stage.source),)
    values = {
        spec.name.removeprefix(stage.prefix): read(reference, spec.name)
        for spec in reference.specs
        if scope == "taps" and stage.has(spec.name)
    }
    return (*stage.args, *given, values)


class StagedSource:
    """Runs every stage on the reference's values: a Source whose frames hold local errors only."""

    unavailable: Mapping[str, str] = {}

    def __init__(
        self,
        label: str,
        stages: Sequence[Stage],
        reference: Trace,
        scope: Scope,
        manifest: Manifest,
        numerics: NumericsMode = "default",
    ) -> None:
        self.label = f"{label} on the reference's values, {scope}"
        self.manifest = manifest
        self._stages = [s for s in stages if s.source is None or s.source in reference]
        self._reference = reference
        self._scope = scope
        self._numerics = numerics
        self._programs: dict[tuple[Any, ...], Recording] = {}

    def prepare(self) -> Sequence[FrameSpec]:
        """Compile one program per kind; a piece whose taps differ from its kind's gets its own."""
        specs: list[FrameSpec] = []
        for stage in self._stages:
            for spec in self._program(stage).specs:
                specs.append(_renamed(spec, stage, len(specs)))
        return specs

    def run(self, sink: Sink) -> None:
        specs = self.prepare()
        sink.begin(specs)
        start = 0
        for stage in self._stages:
            program = self._program(stage)
            arguments = stage_arguments(stage, self._reference, self._scope)
            program.run(*arguments, sink=_Renaming(sink, stage, start))
            start += len(program.specs)

    def certify(self) -> None:
        """A run in pieces has no output of its own to certify."""

    def release(self) -> None:
        self._programs.clear()

    def _program(self, stage: Stage) -> Recording:
        arguments = stage_arguments(stage, self._reference, self._scope, _abstract)
        leaves, structure = jax.tree.flatten(arguments)
        shapes = [(leaf.shape, str(leaf.dtype)) for leaf in leaves]
        key = (stage.kind, structure, tuple(shapes))
        if key not in self._programs:
            self._programs[key] = compile_recording(
                injecting(stage.fn), *arguments, recorder=TapRecorder(), numerics=self._numerics
            )
        return self._programs[key]


class _Renaming:
    """Passes a stage's frames on under their full names and places."""

    def __init__(self, sink: Sink, stage: Stage, start: int) -> None:
        self._sink = sink
        self._stage = stage
        self._start = start

    def begin(self, specs: Sequence[FrameSpec]) -> None: ...

    def put(self, frame: Frame) -> None:
        spec = _renamed(frame.spec, self._stage, self._start + frame.spec.index)
        self._sink.put(Frame(spec, frame.value))


def _renamed(spec: FrameSpec, stage: Stage, index: int) -> FrameSpec:
    return dataclasses.replace(spec, index=index, name=stage.prefix + spec.name)


def _array(trace: Trace, name: str) -> jax.Array:
    return jnp.asarray(np.asarray(trace[name]))


def _abstract(trace: Trace, name: str) -> jax.ShapeDtypeStruct:
    spec = trace.spec(name)
    return jax.ShapeDtypeStruct(spec.shape, numpy_dtype(spec.dtype))
