"""A function's value in float64, the bound of its error, and what its own dtypes make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.program.bounds import RunningError
from parity.program.jaxprs import evaluate

# Compiling takes longer than running these.
_QUICKLY: Any = {"xla_backend_optimization_level": 0}
# Ways of running a program that round it in other places.
_WAYS: Any = (None, {"xla_allow_excess_precision": False})


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

    def deviations(self, fns: Sequence[Callable[..., Any]], *args: Any) -> tuple[list[Any], Any]:
        """Of every way of running each of these functions from the value, and the bound."""
        value, bound = self(*args)
        runs = [jax.jit(fn, compiler_options=way)(*args) for fn in fns for way in _WAYS]
        return [_distance(run, value) for run in runs], bound

    def excess(self, other: Callable[..., Any], *args: Any) -> float:
        """The largest share of the bound of two roundings, 2E, by which `other` departs."""
        value, bound = self(*args)
        distance = _distance(other(*args), value)
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


def _distance(a: Any, b: np.ndarray) -> np.ndarray:
    a = np.asarray(a)
    a = a.astype(np.complex128 if np.iscomplexobj(b) else np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0, np.abs(a - b))


def samples(seed: int, *shape: int, dtype: Any = "float32") -> Any:
    """Standard normal values."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)
