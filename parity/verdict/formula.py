"""A candidate's own formula: what its stages make when nothing is rounded, and how they may round.

Where a difference is larger than two roundings of the reference's program can put it, and both
formulas agree, ours may round at places of its own: a query scaled before its product with the keys
rounds every term of the sum, and scaled scores the sum alone. With x the value of the formula,

    |ours - reference| <= |ours - x| + |x - reference| <= E(ours) + E(reference)

each E from the running error analysis of its own program (parity/program/bounds.py). Whether ours
is the less accurate for it is another question, which the oracle answers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from parity.program.bounds import Bounds
from parity.program.oracle import Oracle, OracleDType
from parity.program.stages import Stage
from parity.trace.frames import Trace

_Bounds = dict[str, tuple[np.ndarray, np.ndarray]]


class Formula:
    """Of a side that is made of these stages; compiled when it is asked for."""

    def __init__(self, stages: Sequence[Stage], dtype: OracleDType) -> None:
        self._stages = stages
        self._oracle, self._bounds = Oracle(stages, dtype), Bounds(dtype)

    def of(self, stage: Stage, reference: Trace) -> StageFormula | None:
        """Of the piece with the taps of `stage`, on the reference's values; None without one.

        Raises:
          EvaluationError: the piece works on the bits of floats.
        """
        same = (s for s in self._stages if (s.prefix, s.taps) == (stage.prefix, stage.taps))
        own = next(same, None)
        if own is None:
            return None
        bounds = functools.partial(self._bounds.on, own, reference)
        return StageFormula(self._oracle.on(own, reference), bounds)


class StageFormula:
    """Of one piece.

    Attributes:
      values: by full tap name, in the wide dtype.
    """

    def __init__(self, values: dict[str, np.ndarray], bounds: Callable[[], _Bounds]) -> None:
        self.values = values
        self._bounds = bounds
        self._found: _Bounds | None = None

    def limit(self, name: str) -> np.ndarray:
        """2E of a tap, of two roundings in the program's own dtypes."""
        if self._found is None:
            self._found = self._bounds()
        return self._found[name][0]


def exceeds(share: float | None) -> bool:
    """A share of a bound is more than all of it, or can't be told from that."""
    return share is not None and not share <= 1
