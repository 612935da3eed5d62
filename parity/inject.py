"""Error made here against error inherited: run each stage on the reference's own values.

A tapped function needs no surgery for this. Its tap records what was computed and returns the
reference's value instead, so whatever follows starts from the truth. With every block's input
replaced, what a tap of the block shows is made in that block; with every tap replaced, it is made
between that tap and the ones before.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from parity.record import TappedFunction
from parity.trace import Trace

Scope = Literal["blocks", "taps"]

# Which taps' values are replaced.
SCOPES: dict[Scope, str] = {"blocks": r"blocks\.\d+\.input", "taps": r".*"}


@dataclasses.dataclass(frozen=True)
class InjectingTap:
    """Passes on the value of a tap's name in `values`, if any, instead of the computed one.

    `tap` sees the computed value, which is what the stage before made; at a block's input with
    `before` it sees the injected one, since what was computed there is the last block's error.
    """

    tap: Any
    values: Mapping[str, jax.Array]
    before: bool

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        if self.before:
            return self.tap(name, self.values.get(name, value))
        value = self.tap(name, value)
        return self.values.get(name, value)


def injecting(fn: TappedFunction, scope: Scope) -> TappedFunction:
    """`fn` with one more argument, the values to inject by tap name, after its own."""

    def injected(*args: Any, tap: Any) -> jax.Array:
        *own, values = args
        return fn(*own, tap=InjectingTap(tap, values, before=scope == "blocks"))

    return injected


def injection(reference: Trace, scope: Scope) -> dict[str, jax.Array]:
    """The reference's values at the taps that a scope replaces, on the device."""
    pattern = re.compile(SCOPES[scope])
    return {
        spec.name: jnp.asarray(np.asarray(reference[spec.name]))
        for spec in reference.specs
        if pattern.fullmatch(spec.name)
    }
