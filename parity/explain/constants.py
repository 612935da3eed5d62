"""The number that an operation should have: solved for, and told from others by its roundness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from parity.explain.content import TOLERANCE, close
from parity.explain.edit import Change, Edit, Run
from parity.explain.graph import Node, Value
from parity.explain.trial import Trial
from parity.explain.unrounded import nearly

_MOST_STEPS = 40


def solved_constants(trial: Trial, nodes: Sequence[Node]) -> Iterator[Edit]:
    """One number of an operation, solved for by the secant method on the whole array."""
    for place, given in enumerate(nodes[0].inputs):
        array = given.array
        scalar = array.size == 1 and jnp.issubdtype(array.dtype, jnp.floating)
        if not scalar or not (given.constant or given.node is None or _written(given)):
            continue
        start = float(array.reshape(()))

        def at(number: float, i: int = place, like: Any = array) -> np.ndarray | None:
            def changed(n: Node) -> Run:
                return lambda *x: n.run(*x[:i], np.full_like(like, number), *x[i + 1 :])

            return trial.array(Edit(tuple(nodes), "", changed))

        number = _solved(at, start, trial)
        if number is not None:
            words = f"with {_short(number)} for {_short(start)}"

            def solved(n: Node, i: int = place, like: Any = array, to: float = number) -> Run:
                return lambda *x: n.run(*x[:i], np.full_like(like, to), *x[i + 1 :])

            maker = given.node
            while maker is not None and maker.operation == "convert_element_type":
                maker = maker.inputs[0].node
            made = tuple(nodes) if maker is None else (maker,)
            # What is run instead is run where the number is used.
            yield Edit(made, words, solved, (number, start), general=maker is None)


def solved_insertions(trial: Trial, nodes: Sequence[Node]) -> Iterator[Edit]:
    """A number that the results of operations may lack as a factor or a summand, solved for."""
    if not jnp.issubdtype(nodes[0].outputs[0].array.dtype, jnp.floating):
        return
    for verb, start, combined in _LACKING:

        def changed(number: float, combined: Callable[..., Any] = combined) -> Change:
            def made(n: Node) -> Run:
                def run(*arrays: Any) -> Sequence[Any]:
                    first, *rest = n.run(*arrays)
                    return [combined(np.asarray(first), number), *rest]

                return run

            return made

        def at(number: float, changed: Callable[..., Any] = changed) -> np.ndarray | None:
            return trial.array(Edit(tuple(nodes), "", changed(number)))

        number = _solved(at, start, trial)
        if number is not None:
            words = f"{verb} {_short(number)}"
            yield Edit(tuple(nodes), words, changed(number), (number, start))


_LACKING: tuple[tuple[str, float, Callable[[Any, float], Any]], ...] = (
    ("times", 1.0, lambda x, k: x * k),
    ("plus", 0.0, lambda x, k: x + k),
)


def _written(value: Value) -> bool:
    """A number made of numbers written in the program."""
    frontier, seen = [value], 0
    while frontier:
        at = frontier.pop()
        seen += 1
        if at.constant:
            continue
        if at.node is None or at.array.size != 1 or seen > 20:
            return False
        frontier += at.node.inputs
    return True


def _solved(at: Callable[[float], np.ndarray | None], start: float, trial: Trial) -> float | None:
    """The number at which the array is the expected one."""
    expected = trial.expected
    here, finite = at(start), np.abs(expected) < 1e8
    if here is None or not finite.any():
        return None

    def error(array: np.ndarray) -> float:
        # One element, the one that is farthest at the start, has to become right.
        return float(array.reshape(-1)[chosen] - expected.reshape(-1)[chosen])

    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(finite, np.abs(here - expected), 0)
    chosen = int(np.nanargmax(gap))
    wanted = expected.reshape(-1)[chosen]
    for positive in (True, False):
        if positive and start <= 0:
            continue
        # Of a positive number its logarithm: a base or an epsilon is off by factors.
        scale = math.exp if positive else float
        a = math.log(start) if positive else start
        b = a + (0.1 if positive else 0.1 * abs(start) + 1e-6)
        try:
            previous, there = error(here), at(scale(b))
            for _ in range(_MOST_STEPS):
                if there is None or not np.isfinite(there.reshape(-1)[chosen]):
                    break
                current = error(there)
                if abs(current) <= 1e-13 * abs(wanted) or current == previous:
                    break
                a, b = b, b - current * (b - a) / (current - previous)
                previous, there = current, at(scale(b))
        except (ZeroDivisionError, OverflowError):
            continue
        if there is None or scale(b) == start or not close(there, expected, trial.tolerance):
            continue
        found = float(scale(b))
        if trial.tolerance == TOLERANCE:
            return found
        meant = nearly(found, 10 * trial.tolerance)
        there = at(meant)
        right = there is not None and close(there, expected, trial.tolerance)
        return meant if right and meant != start else found
    return None


def _short(number: float) -> str:
    return f"{number:.6g}"


def is_neat(edit: Edit, scalars: Sequence[float]) -> bool:
    """A number that one may have written, or that the reference uses.

    One that is neither makes up for something else that is wrong.
    """
    assert edit.constant is not None
    number, start = edit.constant
    if any(_digits(form(number)) <= _NEAT for form in _FORMS if number):
        return True
    wanted = [form(scalar) for scalar in scalars if scalar for form in _FORMS[:2]]
    return any(
        math.isclose(abs(made), abs(w), rel_tol=1e-7)
        for w in wanted
        for made in (number, number / start if start else number)
    )


# A number is often its reciprocal, or the root of one: 8 ** -0.5.
_FORMS: tuple[Callable[[float], float], ...] = (
    lambda x: x,
    lambda x: 1 / x,
    lambda x: x * x,
    lambda x: 1 / (x * x),
)
_NEAT = 4


def roughness(edit: Edit) -> int:
    """How many digits the new number takes: people write round ones."""
    assert edit.constant is not None
    return _digits(edit.constant[0])


def _digits(number: float) -> int:
    mantissa, _ = f"{number:.6e}".split("e")
    return len(mantissa.strip("-0.").replace(".", ""))
