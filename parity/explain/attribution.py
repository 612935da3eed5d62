"""Which choice removes a difference: a numerics field, a way of compiling, a precision.

One choice at a time first, then two; the first that leaves nothing different is the explanation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.explain.figures import mismatched
from parity.program.jaxprs import Widening
from parity.trace.recorder import compiler_options

Fn = Callable[..., Any]


@dataclass(frozen=True)
class Choice:
    """A change to our side: its name and the function that it gives."""

    name: str
    ours: Fn


@dataclass(frozen=True)
class Attribution:
    """The smallest set that removes the difference, or the best and what was tried.

    Attributes:
      before, after: elements that differ, without and with the choice.
    """

    explained: bool
    choice: str
    before: int
    after: int
    tried: tuple[str, ...]

    def __str__(self) -> str:
        if self.explained:
            return f"EXPLAINED({self.choice}): {self.before} elements differ before, 0 after"
        best = f"; best: {self.choice}, {self.after} left" if self.choice else ""
        return f"UNEXPLAINED: {self.before} elements differ{best}; tried {', '.join(self.tried)}"


def attribute(
    ours: Fn,
    reference: Fn,
    inputs: Sequence[Any],
    choices: Sequence[Choice] = (),
    combine: Callable[[Sequence[Choice]], Fn] | None = None,
    *,
    compiling: bool = True,
) -> Attribution:
    """Search for what makes the outputs of both sides equal.

    Args:
      choices: changes to our side.
      combine: several changes at once; None if they can't be combined.
      compiling: also try ways of compiling both, which explain rounding alone.
    """
    expected = _run(reference, inputs)
    before = _mismatched(_run(ours, inputs), expected)
    tried: list[str] = []
    best = ("", before)
    pairs = list(itertools.combinations(choices, 2)) if combine is not None else []
    for choice in choices:
        left = _mismatched(_run(choice.ours, inputs), expected)
        tried.append(choice.name)
        if left == 0:
            return Attribution(True, choice.name, before, 0, tuple(tried))
        best = min(best, (choice.name, left), key=lambda item: item[1])
    for name, run in _MODES.items() if compiling else ():
        left = _mismatched(run(ours, inputs), run(reference, inputs))
        tried.append(name)
        if left == 0:
            return Attribution(True, name, before, 0, tuple(tried))
    for chosen in pairs:
        assert combine is not None
        name = ", ".join(choice.name for choice in chosen)
        left = _mismatched(_run(combine(chosen), inputs), expected)
        if left == 0:
            return Attribution(True, name, before, 0, (*tried, "pairs of fields"))
        best = min(best, (name, left), key=lambda item: item[1])
    if pairs:
        tried.append("pairs of fields")
    return Attribution(False, best[0], before, best[1], tuple(tried))


def _run(fn: Fn, inputs: Sequence[Any], options: dict[str, Any] | None = None) -> list[np.ndarray]:
    compiled = jax.jit(lambda *args: fn(*args), compiler_options=options)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(compiled(*inputs))]


def _strict(fn: Fn, inputs: Sequence[Any]) -> list[np.ndarray]:
    return _run(fn, inputs, compiler_options("strict"))


def _eager(fn: Fn, inputs: Sequence[Any]) -> list[np.ndarray]:
    with jax.disable_jit():
        return [np.asarray(leaf) for leaf in jax.tree.leaves(fn(*inputs))]


def _highest(fn: Fn, inputs: Sequence[Any]) -> list[np.ndarray]:
    with jax.default_matmul_precision("highest"):
        return _run(fn, inputs)


def _float32(fn: Fn, inputs: Sequence[Any]) -> list[np.ndarray]:
    cast = Widening("float32").cast
    return _run(fn, jax.tree.map(lambda leaf: cast(jnp.asarray(leaf)), tuple(inputs)))


# ways of running both sides -> what they explain
_MODES: dict[str, Callable[[Fn, Sequence[Any]], list[np.ndarray]]] = {
    "excess precision": _strict,
    "fusion": _eager,
    "matmul precision": _highest,
    "compute in float32": _float32,
}


def _mismatched(ours: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> int:
    """Elements that differ, over all outputs."""
    return sum(mismatched(a, b) for a, b in zip(ours, reference, strict=True))
