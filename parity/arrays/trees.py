"""Two parameter trees compared: names, shapes, dtypes, bits. Every offender is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.arrays.metrics import compare_arrays

_SHOWN = 20


@dataclass(frozen=True)
class WeightCheck:
    """What was found.

    Attributes:
      tensors: of the reference.
      compared: whose bits were compared.
      problems: a line per tensor that does not agree.
    """

    tensors: int
    compared: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        if self.problems:
            shown = "".join(f"\n  {problem}" for problem in self.problems[:_SHOWN])
            more = len(self.problems) - _SHOWN
            return f"weights: {len(self.problems)} problems in {self.tensors} tensors{shown}" + (
                f"\n  … and {more} more" if more > 0 else ""
            )
        bits = f"; the bits of {self.compared}" if self.compared else ""
        return f"weights: {self.tensors} tensors agree in name, shape and dtype{bits}"


def check_weights(
    ours: Mapping[str, Any], reference: Mapping[str, Any], *, dtypes: bool = True
) -> WeightCheck:
    """Compare two trees, each a mapping from a tensor's name to an array or its abstract shape.

    Bits are compared where both sides have an array.

    Args:
      dtypes: False where the reference takes weights of any dtype.
    """
    problems = [f"{name}: ours has none" for name in reference if name not in ours]
    problems += [f"{name}: the reference has none" for name in ours if name not in reference]
    compared = 0
    for name, theirs in reference.items():
        if name not in ours:
            continue
        own = ours[name]
        if tuple(theirs.shape) != tuple(own.shape):
            problems.append(f"{name}: expected shape {list(theirs.shape)}, got {list(own.shape)}")
        elif dtypes and theirs.dtype != own.dtype:
            problems.append(f"{name}: expected {theirs.dtype}, got {own.dtype}")
        elif all(hasattr(side, "__array__") for side in (theirs, own)):
            compared += 1
            if theirs is own:
                continue
            metrics = compare_arrays(np.asarray(own), np.asarray(theirs))
            if metrics.mismatched:
                problems.append(
                    f"{name}: {metrics.mismatched} of {metrics.size} elements differ, "
                    f"by up to {metrics.max_abs:.3g}, at {metrics.max_abs_at}"
                )
    return WeightCheck(len(reference), compared, tuple(problems))
