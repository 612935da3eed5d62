"""A model in pieces, each on the reference's values: its frames hold what was made locally."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax

from parity.program.stages import Scope, Stage, abstract, injecting, stage_arguments
from parity.trace.frames import Frame, FrameSpec, Sink, Trace
from parity.trace.manifest import Manifest
from parity.trace.recorder import NumericsMode, Recording, TapRecorder, compile_recording


class StagedSide:
    """Runs every stage on the reference's values: a Side whose frames hold local errors only."""

    unavailable: Mapping[str, str] = {}
    notes: Sequence[str] = ()
    stages: Sequence[Stage] = ()

    def __init__(
        self,
        label: str,
        stages: Sequence[Stage],
        reference: Trace,
        scope: Scope,
        manifest: Manifest,
        numerics: NumericsMode = "default",
        boundaries: Collection[str] = (),
    ) -> None:
        self.label = f"{label} on the reference's values, {scope}"
        self.manifest = manifest
        self._stages = [s for s in stages if s.source is None or s.source in reference]
        self._reference = reference
        self._scope = scope
        self._numerics = numerics
        self._boundaries = frozenset(boundaries)
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
            arguments = self._arguments(stage)
            program.run(*arguments, sink=_Renaming(sink, stage, start))
            start += len(program.specs)

    def injected(self, reference: Trace, scope: Scope, boundaries: Collection[str] = ()) -> None:
        """It is injected already."""

    def certify(self) -> None:
        """A run in pieces has no output of its own to certify."""

    def release(self) -> None:
        self._programs.clear()

    def _arguments(
        self, stage: Stage, read: Callable[[Trace, str], Any] | None = None
    ) -> tuple[Any, ...]:
        return stage_arguments(stage, self._reference, self._scope, read, self._boundaries)

    def _program(self, stage: Stage) -> Recording:
        arguments = self._arguments(stage, abstract)
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
