"""A side that is a JAX function."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.arrays.metrics import Metrics, compare_arrays
from parity.program.loops import hoisted, route_of
from parity.program.stages import Scope, Stage
from parity.sides.callables import Call
from parity.sides.failures import failure
from parity.sides.staged import StagedSide
from parity.trace.frames import FrameSpec, Sink, Trace
from parity.trace.manifest import Manifest, digest
from parity.trace.recorder import (
    NumericsMode,
    Recording,
    TapRecorder,
    compile_recording,
    compiler_options,
    run_untapped,
    untapped,
)
from parity.trace.tap import Tap, TappedFunction, renamed


@dataclass
class FunctionSide:
    """A tapped JAX function and its arguments.

    Attributes:
      label: what progress messages call it.
      fn: `fn(*args, tap=…)`.
      untapped: what `certify` holds a recorded run against; by default `fn` itself. It too is
        called with a tap, one that does nothing.
      select: comma-separated glob patterns of the taps to record.
      stages: the pieces that it is made of, for a run on given values; by default one, the whole.
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
    notes: Sequence[str] = ()
    _recording: Recording | None = field(default=None, init=False)
    _output: list[np.ndarray] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._whole = not self.stages
        self.stages = self.stages or [Stage("", "whole", self.fn, self.args, whole=True)]

    def prepare(self) -> Sequence[FrameSpec]:
        self._recording = compile_recording(
            self.fn, *self.args, recorder=TapRecorder(self.select), numerics=self.numerics
        )
        return self._recording.specs

    def run(self, sink: Sink) -> None:
        if self._recording is None:
            self.prepare()
        assert self._recording is not None
        try:
            output = self._recording.run(*self.args, sink=sink)
        except jax.errors.JaxRuntimeError as error:  # such as a callback of the user's that raises
            raise failure(self.label, error) from error
        self._output = _leaves(output)

    def certify(self) -> Metrics:
        """The last run's output against that of a run without taps; no mismatch is the proof.

        Of several arrays in the output, the one that differs most.

        Raises:
          ValueError: nothing was run yet.
        """
        if self._output is None:
            raise ValueError("run before certifying")
        plain = self.fn if self.untapped is None else self.untapped
        expected = _leaves(run_untapped(plain, *self.args, numerics=self.numerics))
        pairs = zip(self._output, expected, strict=True)
        return max((compare_arrays(*pair) for pair in pairs), key=lambda found: found.mismatched)

    def injected(
        self, reference: Trace, scope: Scope, boundaries: Collection[str] = ()
    ) -> StagedSide:
        """In pieces, each on the reference's values."""
        return StagedSide(
            self.label,
            self.stages,
            reference,
            scope,
            self.manifest,
            numerics=self.numerics,
            boundaries=boundaries if self._whole else (),
        )

    def release(self) -> None:
        self._recording = self._output = None


def function_side(
    call: Call,
    inputs: Sequence[Any],
    label: str,
    *,
    select: str = "*",
    numerics: NumericsMode = "default",
    rename: Callable[[str], str] | None = None,
) -> FunctionSide:
    """Any callable as a side; its taps may be in loops, and each array that it returns is a frame.

    Args:
      call: of the callable with these inputs.
      label: what messages call it.
      select: comma-separated glob patterns of the taps to record.
      rename: gives a tap's name to be known by.

    Raises:
      RequestError: the callable can't be run.
    """
    fn = hoisted(
        call.fn, route_of(call.fn, *call.args, compiler_options=compiler_options(numerics))
    )

    def tapped(*args: Any, tap: Tap) -> Any:
        return fn(*args, tap=tap if rename is None else renamed(tap, rename))

    return FunctionSide(
        label,
        tapped,
        call.args,
        Manifest(call.label, inputs=described(inputs), numerics=numerics, **environment()),
        select=select,
        numerics=numerics,
        untapped=call.fn,
    )


def frame_names(side: FunctionSide) -> list[str]:
    """Names of all frames of a function, in execution order; it is traced, not run."""
    names: list[str] = []

    def noting(name: str, value: jax.Array) -> jax.Array:
        names.append(name)
        return value

    jax.eval_shape(lambda *args: side.fn(*args, tap=noting), *side.args)
    return names


def output_paths(call: Call) -> list[str]:
    """Where the arrays stand in what a callable returns; it is traced, not run."""
    shape = jax.eval_shape(lambda *args: call.fn(*args, tap=untapped), *call.args)
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(shape)]


def described(inputs: Sequence[Any]) -> dict[str, str]:
    """Each array of the inputs with its dtype, shape and digest: `{"[0]": "float32[4, 4] 3f…"}`."""
    leaves = jax.tree_util.tree_leaves_with_path(tuple(inputs))
    arrays = {jax.tree_util.keystr(path): _numbers(leaf) for path, leaf in leaves}
    return {
        name: f"{array.dtype}{list(array.shape)} {digest(array)}" for name, array in arrays.items()
    }


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


def _leaves(output: Any) -> list[np.ndarray]:
    return [_numbers(leaf) for leaf in jax.tree.leaves(output)]


def _numbers(leaf: Any) -> np.ndarray:
    """An array on the host; of random keys, the numbers that they are."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)
