"""Host memory that the CPU backend can take over as it is."""

from __future__ import annotations

import numpy as np


def aligned_empty(size: int, dtype: np.dtype, alignment: int = 64) -> np.ndarray:
    """[size] uninitialised. `jax.device_put` of it needs no copy where arrays live on the CPU."""
    buffer = np.empty(size * dtype.itemsize + alignment, np.uint8)
    start = -buffer.ctypes.data % alignment
    return buffer[start : start + size * dtype.itemsize].view(dtype)
