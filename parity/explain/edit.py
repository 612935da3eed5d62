"""A single edit of a program's operations, and what the program computes with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.explain.graph import Node, Value
from parity.explain.location import Location

Run = Callable[..., Sequence[Any]]
# What is run instead at an operation; None where an edit has no meaning there.
Change = Callable[[Node], Run | None]


@dataclass(frozen=True)
class Edit:
    """An edit that repairs.

    Attributes:
      nodes: the operations that it changes.
      words: what it does.
      made: what is run instead at an operation; None where that has no meaning.
      constant: the number that it takes, and the one that was there.
      general: it can be made wherever the same text is run.
      taken: a value that it takes into an operation that hadn't it; None where it takes none.
      given: the value that it takes another one for; None where it takes none.
      frame: the statement below which it is made; that of the first operation if None.
      through: operations that have to be run again, besides those that made a value wrong.
    """

    nodes: tuple[Node, ...]
    words: str
    made: Change
    constant: tuple[float, float] | None = None
    general: bool = True
    taken: Value | None = None
    given: Value | None = None
    frame: Location | None = None
    through: tuple[Node, ...] = ()


def edited(nodes: Sequence[Node], value: Value, chosen: Sequence[Node], made: Change) -> Any | None:
    """The value where the chosen operations are run another way; None where that can't be."""
    fresh: dict[int, Any] = {}
    for node in nodes:
        if node not in chosen and not any(id(v) in fresh for v in node.inputs):
            continue
        # An edit may make no sense: libraries refuse it in their own ways, or warn.
        try:
            with np.errstate(all="ignore"):
                run = made(node) if node in chosen else node.run
                if run is None:
                    return None
                arrays = run(*(fresh.get(id(v), v.array) for v in node.inputs))
        except Exception:
            return None
        for output, array in zip(node.outputs, arrays, strict=False):
            if np.shape(array) != output.array.shape:
                return None
            with np.errstate(all="ignore"):
                fresh[id(output)] = np.asarray(array).astype(output.array.dtype)
    return fresh.get(id(value))
