"""Types of stored weights: which there may be, from one into another, and what is no number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from jaxformer.checkpoint.messages import named
from jaxformer.errors import UsageError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT32 = np.dtype(np.float32)
FLOAT16 = np.dtype(np.float16)
# Types of weights that checkpoints may have; parameters are of the first two.
STORED_DTYPES = {dtype.name: dtype for dtype in (BFLOAT16, FLOAT32, FLOAT16)}
_QUANTISED = ("i", "u", "f4", "f6_", "f8", "float4", "float6", "float8", "bool")
_EXPONENT = {BFLOAT16: 0x7F80, FLOAT32: 0x7F80_0000}
_CHECKED_AT_ONCE = 1 << 20


def uniform_dtype(dtypes: Mapping[str, str], problems: list[str]) -> str:
    """The one dtype of the tensors, given by name; what departs from it is added to `problems`."""
    counts = Counter(dtypes.values())
    usual = counts.most_common(1)[0][0] if counts else ""
    for dtype in counts:
        names = named(name for name, own in dtypes.items() if own == dtype)
        if dtype not in STORED_DTYPES:
            quantised = dtype.lower().startswith(_QUANTISED)
            problems.append(
                f"dtype {dtype} {'is quantised' if quantised else 'is unknown here'}, it must be "
                f"one of {', '.join(STORED_DTYPES)}: {names}"
            )
        elif dtype != usual:
            problems.append(f"dtypes are mixed, {dtype} among {usual}: {names}")
    return usual


def resolve_dtype(stored: str, asked: str | None) -> np.dtype:
    """The type of parameters: the one asked for, else the stored one.

    Raises:
      UsageError: neither bfloat16 nor float32, or float16 weights that aren't widened.
    """
    name = stored if asked is None else asked
    if asked not in (None, BFLOAT16.name, FLOAT32.name):
        raise UsageError(f"dtype must be bfloat16 or float32, got {asked}")
    if stored == FLOAT16.name and name != FLOAT32.name:
        raise UsageError(
            "these weights are float16, which jaxformer doesn't compute in and bfloat16 can't hold "
            "exactly: ask for dtype float32"
        )
    return STORED_DTYPES[name]


def convert(source: np.ndarray, target: np.ndarray) -> None:
    """Fill `target`, of the same shape, from `source`.

    Widening is exact; float32 to bfloat16 rounds to nearest, ties to even.
    """
    if source.dtype == target.dtype:
        bits = f"u{source.dtype.itemsize}"  # moved as they are, by NumPy's fast path
        target.view(bits)[...] = source.view(bits)
    elif (source.dtype, target.dtype) == (BFLOAT16, FLOAT32):
        wide = source.view(np.uint16).astype(np.uint32)  # in order first, strides after: quicker
        wide <<= 16
        target.view(np.uint32)[...] = wide
    else:
        target[...] = source.astype(target.dtype)


def all_finite(array: np.ndarray) -> bool:
    """No NaN and no infinity in a contiguous bfloat16 or float32 array."""
    exponent = _EXPONENT[array.dtype]
    bits = array.reshape(-1).view(f"u{array.dtype.itemsize}")
    parts = (bits[at : at + _CHECKED_AT_ONCE] for at in range(0, bits.size, _CHECKED_AT_ONCE))
    # The exponent is all ones in both, and the sign bit is the only one above it.
    mask = bits.dtype.type((1 << (8 * bits.itemsize - 1)) - 1)
    return all(int((part & mask).max()) < exponent for part in parts)
