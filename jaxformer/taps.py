"""Taps: named points of a computation that an observer may look at.

    x = tap("blocks.3.attn.query", x)

A tap returns its value unchanged. It is an explicit argument of every function that has one and
is static under `jit`, so that a compiled program can't be wrong about who watches it.
"""

from __future__ import annotations

from typing import Protocol

import jax


class Tap(Protocol):
    """Called while the function is traced, once for each named point."""

    def __call__(self, name: str, value: jax.Array) -> jax.Array: ...


def no_tap(name: str, value: jax.Array) -> jax.Array:
    """The tap of a run that nobody watches: adds nothing to the program."""
    del name
    return value


def prefixed(tap: Tap, prefix: str) -> Tap:
    """A tap that prepends `prefix` and a dot to each name."""
    if tap is no_tap:
        return no_tap
    return lambda name, value: tap(f"{prefix}.{name}", value)
