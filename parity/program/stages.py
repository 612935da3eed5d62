"""Pieces of a model that run on their own, each on the reference's values.

A model offers its pieces (embedding, each block, head) as stages. Stages of one kind differ only in
their arrays, so they share one compiled program: a model of 26 blocks compiles two. What a tap then
shows was made in its own piece; with every tap's value replaced by the reference's as well, it was
made between that tap and the ones before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from parity.trace.frames import Trace, numpy_dtype
from parity.trace.tap import InjectingTap, TappedFunction

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
      whole: it is what the model runs, and not a piece that stands for a part of that.
    """

    prefix: str
    kind: str
    fn: TappedFunction
    args: tuple[Any, ...]
    source: str | None = None
    taps: tuple[str, ...] | None = None
    whole: bool = False

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
    boundaries: Collection[str] = (),
) -> tuple[Any, ...]:
    """What `injecting(stage.fn)` takes: the stage's own arguments, its input, values to inject.

    Args:
      read: makes an argument of a frame; by default its array.
      boundaries: full names of taps whose values are injected in whichever scope.

    Raises:
      KeyError: the reference has no frame for the stage's input.
    """
    read = _array if read is None else read
    given = () if stage.source is None else (read(reference, stage.source),)
    values = {
        spec.name.removeprefix(stage.prefix): read(reference, spec.name)
        for spec in reference.specs
        if (scope == "taps" or spec.name in boundaries) and stage.has(spec.name)
    }
    return (*stage.args, *given, values)


def _array(trace: Trace, name: str) -> jax.Array:
    return jnp.asarray(np.asarray(trace[name]))


def abstract(trace: Trace, name: str) -> jax.ShapeDtypeStruct:
    spec = trace.spec(name)
    return jax.ShapeDtypeStruct(spec.shape, numpy_dtype(spec.dtype))
