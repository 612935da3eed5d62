"""Figures of a finding: how much two values differ, infinities and NaN told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Differing:
    """Elements of two arrays that differ as numbers; NaN equals NaN, and -0 equals 0.

    Attributes:
      count, size: how many differ, and of how many.
      nonfinite: those of them that are infinite or NaN on a side.
      largest: the largest difference of the others; None if there are none.
    """

    count: int
    size: int
    nonfinite: int
    largest: float | None

    def __str__(self) -> str:
        said = f"{self.count} of {self.size} differ"
        if self.largest is not None:
            said += f", by up to {self.largest:.3g}"
        if self.nonfinite:
            said += f", {self.nonfinite} of them infinite or NaN on a side"
        return said


# An infinity less itself, or a signalling NaN, is no news.
@np.errstate(over="ignore", invalid="ignore")
def differing(ours: Any, reference: Any, tolerance: float = 0.0) -> Differing:
    """Figures of two numeric or boolean arrays of one shape and any dtypes.

    Args:
      tolerance: finite elements that are nearer to each other, relative to their size and to the
        mean size, count as equal.
    """
    a, b = (np.asarray(x) for x in (ours, reference))
    wide = np.result_type(_wide(a), _wide(b))
    a, b = a.astype(wide), b.astype(wide)
    unequal = (a != b) & ~((a != a) & (b != b))
    finite = unequal & np.isfinite(a) & np.isfinite(b)
    if tolerance and finite.any():
        size = np.abs(b) + np.abs(b[finite]).mean()
        near = finite & (np.abs(a - b) <= tolerance * size)
        unequal, finite = unequal & ~near, finite & ~near
    real = np.complex128 if wide.kind == "c" else np.float64
    distances = np.abs(a[finite].astype(real) - b[finite].astype(real))
    count = int(np.count_nonzero(unequal))
    largest = float(distances.max()) if distances.size else None
    return Differing(count, int(a.size), count - int(distances.size), largest)


def mismatched(ours: np.ndarray, reference: np.ndarray) -> int:
    """Elements whose bits differ, of arrays of one shape; all of them where the dtypes differ."""
    if ours.dtype != reference.dtype:
        return int(ours.size)
    unit = min(ours.dtype.itemsize, 8)  # a complex128 is two
    bits = [np.ascontiguousarray(x).reshape(-1, 1).view(f"u{unit}") for x in (ours, reference)]
    return int(np.count_nonzero((bits[0] != bits[1]).any(axis=1)))


def _wide(array: np.ndarray) -> Any:
    """A dtype of NumPy's own that holds the array's numbers exactly."""
    if array.dtype.kind in "biufc":
        return array.dtype if array.dtype.kind != "b" else np.int8
    return np.float64  # bfloat16 and its kin


def shape_of(array: Any) -> str:
    """Such as `bfloat16[2, 16]`."""
    return f"{array.dtype}{list(array.shape)}"
