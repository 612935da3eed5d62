"""Whether a replay, operation by operation, is what the compiled programs compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from parity.explain.figures import mismatched
from parity.explain.graph import Graph
from parity.trace.recorder import NumericsMode, compiler_options

_SIDES = ("ours", "the reference")
_CHECKED = "checked: run one operation at a time"


@dataclass(frozen=True)
class Faithfulness:
    """Outputs whose bits the replay has too, by side and by way of compiling.

    Attributes:
      missed: (side, mode) -> names of the outputs whose bits are others.
      outputs: how many there are on each side.
      apart: names of the outputs that differ between the sides, compiled as users do.
    """

    missed: dict[tuple[str, NumericsMode], list[str]]
    outputs: int
    apart: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not any(self.missed.values()):
            where = "their one output" if self.outputs == 1 else f"all {self.outputs} outputs"
            return f"{_CHECKED}, both give the same bits as compiled at {where}"
        ours, reference = (self._count(side, "default") for side in _SIDES)
        said = f"{_CHECKED}, ours gives the same bits as compiled at {ours} outputs, "
        said += f"the reference at {reference}"
        strict = [
            f"{side} at {self._count(side, 'strict')}"
            for side in _SIDES
            if (side, "strict") in self.missed
        ]
        return f"{said}; compiled so that every operation rounds, {', '.join(strict)}"

    def _count(self, side: str, mode: NumericsMode) -> str:
        """As in `19 of 20 (not attn.key_rope)`; of the usual mode no names, which are many."""
        missed = self.missed[side, mode]
        count = f"{self.outputs - len(missed)} of {self.outputs}"
        named = mode == "strict" and missed and self.outputs > 1
        return f"{count} (not {', '.join(missed[:3])})" if named else count


def faithfulness(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    own: Graph,
    theirs: Graph,
) -> Faithfulness:
    """Compile both, run both, and compare with the replays; strictly where that doesn't agree."""
    missed: dict[tuple[str, NumericsMode], list[str]] = {}
    compiled: list[dict[str, np.ndarray]] = []
    for side, fn, graph in zip(_SIDES, (ours, reference), (own, theirs), strict=True):
        compiled.append(_compiled(fn, inputs, graph, "default"))
        missed[side, "default"] = _different(_replayed(graph), compiled[-1])
        if missed[side, "default"]:
            strict = _compiled(fn, inputs, graph, "strict")
            missed[side, "strict"] = _different(_replayed(graph), strict)
    return Faithfulness(missed, len(own.outputs), tuple(_different(*compiled)))


def _replayed(graph: Graph) -> dict[str, np.ndarray]:
    return {_named(name): np.asarray(value.array) for name, value in graph.outputs.items()}


def _compiled(
    fn: Callable[..., Any], inputs: Sequence[Any], graph: Graph, mode: NumericsMode
) -> dict[str, np.ndarray]:
    compiled = jax.jit(lambda *args: fn(*args), compiler_options=compiler_options(mode))
    leaves = jax.tree.leaves(compiled(*inputs))
    names = map(_named, graph.outputs)
    return {name: np.asarray(leaf) for name, leaf in zip(names, leaves, strict=True)}


def _named(name: str) -> str:
    return name.strip("[]'") or "the output"


def _different(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> list[str]:
    """Names of what differs in dtype or bits, of those that both have in one shape."""
    return [
        name
        for name, a in ours.items()
        if name in reference and a.shape == reference[name].shape and mismatched(a, reference[name])
    ]
