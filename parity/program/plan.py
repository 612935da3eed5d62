"""What an evaluation of a program does with its taps and constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend import core

from parity.program.frames import Key, Route
from parity.trace.tap import marks_of


@dataclass(frozen=True)
class Given:
    """Values that a tap inside of loops or branches passes on in place of its own.

    Attributes:
      values: with an axis for each loop around the tap.
      present: which of them there are, by the same axes.
    """

    values: jax.Array
    present: np.ndarray


@dataclass(frozen=True)
class Index:
    """Where a loop stands while its body is traced.

    Attributes:
      length: how many iterations are known of.
      bounded: there are no more than these.
    """

    value: jax.Array
    length: int
    bounded: bool


@dataclass(frozen=True)
class Plan:
    """What an evaluation does.

    Attributes:
      route: of the run; None leaves taps where they are.
      partial: loops that the route lacks keep their taps to themselves; else they are refused.
      given: what taps inside of loops and branches pass on, by place.
      constants: what stands in for constants of the program, by `id`.
    """

    route: Route | None
    partial: bool = False
    given: Mapping[Key, Given] = field(default_factory=dict)
    constants: Mapping[int, Any] = field(default_factory=dict)

    def watches(self, eqn: core.JaxprEqn) -> bool:
        """Taps are to be taken out of this operation."""
        return self.route is not None and next(marks_of(eqn), None) is not None

    def enters(self, eqn: core.JaxprEqn) -> bool:
        """The operation can't be bound as it is."""
        if self.watches(eqn):
            return True
        return bool(self.constants) and any(id(c) in self.constants for c in constants_of(eqn))


def constants_of(eqn: core.JaxprEqn) -> Iterator[Any]:
    """Arrays that the programs which an operation holds close over."""
    for value in eqn.params.values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, core.ClosedJaxpr):
                yield from inner.consts
                inner = inner.jaxpr
            if isinstance(inner, core.Jaxpr):
                for each in inner.eqns:
                    yield from constants_of(each)
