"""Whether a replay, operation by operation, is what the compiled programs compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from parity.arrays.metrics import compare_arrays
from parity.explain.graph import Graph
from parity.trace.recorder import COMPILER_OPTIONS, NumericsMode

_SIDES = ("ours", "the reference")


@dataclass(frozen=True)
class Faithfulness:
    """Outputs whose bits the replay has too, by side and by way of compiling.

    Attributes:
      missed: (side, mode) -> names of the outputs whose bits are others.
      outputs: how many there are on each side.
    """

    missed: dict[tuple[str, NumericsMode], list[str]]
    outputs: int

    def __str__(self) -> str:
        words = []
        for side in _SIDES:
            missed = self.missed[side, "default"]
            said = f"{side}: {self.outputs - len(missed)} of {self.outputs} outputs"
            strict = self.missed.get((side, "strict"))
            if strict is not None:
                said += f" ({self.outputs - len(strict)} where compiled without excess precision"
                said += f", not {', '.join(strict[:3])})" if strict else ")"
            words.append(said)
        return f"the replay has the compiled program's bits at {'; '.join(words)}"


def faithfulness(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    own: Graph,
    theirs: Graph,
) -> Faithfulness:
    """Compile both, run both, and compare with the replays; strictly where that doesn't agree."""
    found: dict[tuple[str, NumericsMode], list[str]] = {}
    for side, fn, graph in zip(_SIDES, (ours, reference), (own, theirs), strict=True):
        for mode in ("default", "strict"):
            found[side, mode] = _missed(fn, inputs, graph, mode)
            if not found[side, mode]:
                break
    return Faithfulness(found, len(own.outputs))


def _missed(
    fn: Callable[..., Any], inputs: Sequence[Any], graph: Graph, mode: NumericsMode
) -> list[str]:
    compiled = jax.jit(lambda *args: fn(*args), compiler_options=COMPILER_OPTIONS[mode])
    leaves = jax.tree.leaves(compiled(*inputs))
    return [
        name.strip("[]'") or "the output"
        for leaf, (name, value) in zip(leaves, graph.outputs.items(), strict=True)
        if compare_arrays(np.asarray(value.array), np.asarray(leaf)).mismatched
    ]
