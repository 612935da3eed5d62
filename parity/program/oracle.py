"""The oracle: what a model's stages compute when nothing is rounded to its own narrow dtype.

The same formulation on the same weights, in float32 or float64. Each stage is traced with its float
arguments in float32 (so that constants such as an epsilon aren't rounded to bfloat16 while it is
traced) and every operation of the result is then evaluated in the oracle's dtype, casts to narrower
floats included, wherever they are written. In float64 the weights are widened stage by stage; x64
is enabled around that only, and not while a model is traced: it would change what its own code
makes, such as a counter of a loop or an array of zeros.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.extend import core

from parity.errors import RequestError
from parity.program.jaxprs import Widening, evaluate, operations
from parity.program.stages import Stage, injecting, stage_arguments
from parity.trace.frames import FrameSpec, Trace
from parity.trace.manifest import Manifest
from parity.trace.tap import TappedFunction

OracleDType = Literal["float32", "float64"]


class Collecting:
    """A tap that keeps every value, to be returned from the function that is being traced."""

    def __init__(self) -> None:
        self.values: dict[str, jax.Array] = {}

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        self.values[name] = value
        return value


def collecting(fn: TappedFunction) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
    """`fn` without its tap: returns its output and every tapped value by name."""

    def collected(*args: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        tap = Collecting()
        return fn(*args, tap=tap), tap.values

    return collected


class Oracle:
    """Evaluates the reference's stages in a wider dtype.

    Args:
      stages: in execution order, each taking the output of the one before.
      dtype: of every float operation.
    """

    def __init__(self, stages: Sequence[Stage], dtype: OracleDType) -> None:
        self.dtype = dtype
        self._stages = stages
        self._programs = StagePrograms(self._widened, dtype)

    def free(self) -> Trace:
        """Every tap's value when the wide result of each stage is what the next takes.

        Raises:
          EvaluationError: a stage works on the bits of floats.
        """
        frames: dict[str, np.ndarray] = {}
        carried: tuple[Any, ...] = ()
        for stage in self._stages:
            arguments = (*stage.args, *(carried if stage.source else ()))
            output, taps = self._programs.run(stage, stage.fn, arguments)
            carried = (output,)
            frames |= fetched(stage, taps)
        return trace_of(frames)

    def on(self, stage: Stage, reference: Trace) -> dict[str, np.ndarray]:
        """A stage's values by full tap name, when the reference's are what each tap passes on.

        Raises:
          EvaluationError: the stage works on the bits of floats.
        """
        arguments = stage_arguments(stage, reference, "taps")
        _, taps = self._programs.run(stage, injecting(stage.fn), arguments)
        return fetched(stage, taps)

    def _widened(self, fn: TappedFunction, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        program, shape = unrounded(collecting(fn), arguments)
        widening = Widening(self.dtype)

        def run(*arguments: Any) -> Any:
            leaves = [widening.cast(leaf) for leaf in jax.tree.leaves(arguments)]
            outputs = evaluate(program, leaves, widening, widening.constant)
            return jax.tree.unflatten(jax.tree.structure(shape), outputs)

        return run


def unrounded(fn: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[core.ClosedJaxpr, Any]:
    """The program of `fn` for float32 arguments, and the shapes of its results.

    Where it has no such program, or another one, it is that of the arguments' own dtypes: some
    functions join their arguments with narrow arrays that they hold, and random bits are drawn
    anew for each dtype.
    """
    trace = jax.make_jaxpr(fn, return_shape=True)
    cast = jax.tree.map(Widening("float32").cast, arguments)
    dtypes, cast_dtypes = ([x.dtype for x in jax.tree.leaves(xs)] for xs in (arguments, cast))
    if dtypes == cast_dtypes:
        return trace(*arguments)
    try:
        program, shape = trace(*cast)
    except (TypeError, AssertionError, RequestError):
        # For operands or carries of two dtypes; a failure of the function's own is raised here.
        return trace(*arguments)
    if "bitcast_convert_type" in operations(program):
        return trace(*arguments)
    return program, shape


# Compiling takes longer than running these, and what they judge is rounded far above them.
_QUICKLY: Any = {"xla_backend_optimization_level": 0}


class StagePrograms:
    """Compiled interpretations of stages, one for all stages of a kind.

    Args:
      build: makes, of a tapped function and the shapes of its arguments, what to compile.
      dtype: the wide dtype in which it runs.
    """

    def __init__(
        self,
        build: Callable[[TappedFunction, tuple[Any, ...]], Callable[..., Any]],
        dtype: OracleDType,
    ) -> None:
        self._build = build
        self._dtype = dtype
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def run(self, stage: Stage, fn: TappedFunction, arguments: tuple[Any, ...]) -> Any:
        arguments = jax.tree.map(lambda x: x if hasattr(x, "dtype") else np.asarray(x), arguments)
        leaves, structure = jax.tree.flatten(arguments)
        key = (stage.kind, structure, *((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        if key not in self._programs:
            shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
            self._programs[key] = jax.jit(self._build(fn, shapes), compiler_options=_QUICKLY)
        with wide(self._dtype):
            return self._programs[key](*arguments)


def fetched(stage: Stage, taps: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """A stage's values on the host, under their full names."""
    return {stage.prefix + name: np.asarray(value) for name, value in taps.items()}


@contextlib.contextmanager
def wide(dtype: OracleDType) -> Iterator[None]:
    """A scope in which arrays of this dtype can exist; x64 stays off outside."""
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        yield


def trace_of(frames: dict[str, np.ndarray]) -> Trace:
    """A trace in memory of named arrays."""
    specs = [
        FrameSpec(index, name, value.shape, str(value.dtype))
        for index, (name, value) in enumerate(frames.items())
    ]
    return Trace(Manifest("oracle"), specs, lambda spec: frames[spec.name])
