"""A function's value in float64, the bound of its error, and what its own dtypes make of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.program.bounded import Bounded
from parity.program.bounds import RunningError
from parity.program.jaxprs import evaluate

DTYPES = ("float32", "bfloat16")
# Compiling takes longer than running these.
_QUICKLY: Any = {"xla_backend_optimization_level": 0}
_STRICTLY: Any = {"xla_allow_excess_precision": False}


@dataclass(frozen=True)
class Bounding:
    """A function's program with its bounds, for arguments of the shapes and dtypes of `example`."""

    fn: Callable[..., Any]
    run: Callable[..., Any]

    def __call__(self, *args: Any) -> tuple[np.ndarray, np.ndarray]:
        """The value in float64 and the bound E of its error."""
        with jax.enable_x64(True):
            value, bound = self.run(*args)
        return np.asarray(value), np.asarray(bound)

    def excess(self, other: Callable[..., Any], *args: Any) -> float:
        """The largest share of the bound of two roundings, 2E, by which `other` departs."""
        value, bound = self(*args)
        distance = distance_of(other(*args), value)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.nanmax(np.where(distance == 0, 0, distance / (2 * bound))))


def bounding(fn: Callable[..., Any], *example: Any, ideal: bool = False) -> Bounding:
    """`fn`, which returns one array, with its bounds."""
    program = jax.make_jaxpr(fn)(*example)
    rule = RunningError("float64", ideal=ideal)

    def run(*args: Any) -> Any:
        leaves = [rule.exact(x) for x in jax.tree.leaves(args)]
        (out,) = evaluate(program, leaves, rule, rule.constant)
        return out.value, out.bound

    return Bounding(fn, jax.jit(run, compiler_options=_QUICKLY))


def distance_of(a: Any, b: np.ndarray) -> np.ndarray:
    """|a - b| of every element in double precision, 0 between equal infinities."""
    a = np.asarray(a)
    a = a.astype(np.complex128 if np.iscomplexobj(b) else np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0, np.abs(a - b))


def samples(seed: int, *shape: int, dtype: Any = "float32") -> jax.Array:
    """Standard normal values."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def third(x: Any) -> Any:
    """A rounded value, so that what follows has an input with an error."""
    return x / 3


@dataclass(frozen=True)
class Case:
    """A function, the same rounded elsewhere, and another one that might be taken for it.

    Attributes:
      shapes: of its arguments, which are standard normal.
    """

    fn: Callable[..., Any]
    wrong: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = ((6, 16),)
    again: tuple[Callable[..., Any], ...] = ()

    def arguments(self, dtype: str, seed: int) -> list[Any]:
        return [samples(seed * 10 + i, *s, dtype=dtype) for i, s in enumerate(self.shapes)]


def along(prefix: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`prefix` of rounded values along the second axis."""
    return lambda x: prefix(third(x), axis=1, **options)


def prefix_case(prefix: Callable[..., Any], start: float, *again: Callable[..., Any]) -> Case:
    """What `prefix` makes of the elements up to each, against that of the elements before it."""

    def exclusive(x: Any) -> Any:
        found = along(prefix)(x)
        return jnp.concatenate([jnp.full_like(found[:, :1], start), found[:, :-1]], -1)

    return Case(along(prefix), exclusive, ((3, 50),), again)


def pooled(x: Any, start: float, combine: Any) -> Any:
    """Over every second window of 3 × 3 of rounded values."""
    return jax.lax.reduce_window(third(x), start, combine, (3, 3), (2, 2), "VALID")


@functools.cache
def _of(case: Case, dtype: str) -> Bounding:
    return bounding(case.fn, *case.arguments(dtype, 0))


def check_within(case: Case, dtype: str, seeds: int = 3) -> None:
    """What is computed in the function's own dtypes stays within the bound."""
    # Excess precision is what XLA may add to narrow dtypes.
    ways = (None,) if dtype == "float32" else (None, _STRICTLY)
    runs = [jax.jit(fn, compiler_options=way) for fn in (case.fn, *case.again) for way in ways]
    for seed in range(seeds):
        arguments = case.arguments(dtype, seed)
        value, bound = _of(case, dtype)(*arguments)
        assert np.isfinite(bound).all()
        for run in runs:
            assert (distance_of(run(*arguments), value) <= bound).all()


def check_another_exceeds(case: Case, dtype: str) -> None:
    """What another formula computes does not."""
    assert _of(case, dtype).excess(case.wrong, *case.arguments(dtype, 0)) > 1


def perturbed(
    fn: Callable[..., Any], values: Sequence[Any], errors: Sequence[Any], seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """How far results of `fn` move when its arguments move within their errors, and their bounds.

    Args:
      values, errors: of its arguments.
    """
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        values, errors = (
            [jnp.asarray(np.asarray(x, np.float64)) for x in xs] for xs in (values, errors)
        )
        # Ends of the interval are as likely as all between.
        shares = [np.clip(rng.uniform(-2, 2, e.shape), -1, 1) for e in errors]
        moved = [x + e * s for x, e, s in zip(values, errors, shares, strict=True)]
        found, new = _perturbing(fn)(values, errors, moved)
    distances = [distance_of(a, np.asarray(b.value)) for a, b in zip(new, found, strict=True)]
    return distances, [np.asarray(x.bound) for x in found]


@functools.cache
def _perturbing(fn: Callable[..., Any]) -> Callable[..., Any]:
    def run(values: Any, errors: Any, moved: Any) -> tuple[list[Bounded], list[Any]]:
        program = jax.make_jaxpr(fn)(*values)
        rule = RunningError("float64")
        given = [Bounded(x, e) for x, e in zip(values, errors, strict=True)]
        return evaluate(program, given, rule, rule.constant), jax.tree.leaves(fn(*moved))

    return jax.jit(run, compiler_options=_QUICKLY)
