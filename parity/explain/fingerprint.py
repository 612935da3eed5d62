"""Fingerprints of arrays by which two programs' intermediate values are recognised.

Three of them, all over the values as numbers, so that exact casts don't matter, and both after axes
along which nothing changes are dropped, so that broadcasting doesn't either:

    content   of the multiset of elements: transposes, reshapes and any other reordering keep it
    order     of the elements in their places, up to a permutation of whole axes
    exact     of the elements in their places

A value with few elements, or with few different ones (booleans, small integers, constants), is
found in many places by chance: it is not `telling`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

# Fewer different elements than this say little about where a value comes from.
TELLING = 6
_CHUNK = 1 << 18
# Beyond this an array, a weight mostly, is hashed in its own order of axes only.
_LARGE = 1 << 22
_SAMPLE = 1 << 12


@dataclass(frozen=True)
class Fingerprint:
    content: tuple[int, int, int]
    order: bytes
    exact: bytes
    telling: bool


def fingerprint(array: Any) -> Fingerprint:
    """Of an array of any numeric dtype, or of random keys."""
    if jnp.issubdtype(getattr(array, "dtype", np.float32), jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    bits = _number_bits(np.asarray(array))
    bits = without_constant_axes(bits)
    flat = bits.reshape(-1)
    total, mixed = 0, 0
    for start in range(0, flat.size, _CHUNK):
        hashed = _mix(flat[start : start + _CHUNK])
        total = (total + int(hashed.sum(dtype=np.uint64))) % 2**64
        mixed = (mixed + int((hashed ^ (hashed >> np.uint64(29))).sum(dtype=np.uint64))) % 2**64
    sample = flat[:: max(1, flat.size // _SAMPLE)][: 2 * _SAMPLE]
    telling = np.unique(sample).size >= TELLING
    exact = _digest(bits)
    order = _digest(_sorted_axes(bits)) if bits.ndim > 1 and bits.size <= _LARGE else exact
    return Fingerprint((flat.size, total, mixed), order, exact, telling)


def _sorted_axes(bits: np.ndarray) -> np.ndarray:
    """The axes in an order that depends on what lies along them only."""
    hashed = _mix(bits)
    signatures = []
    for axis in range(bits.ndim):
        others = tuple(a for a in range(bits.ndim) if a != axis)
        along = hashed.sum(axis=others, dtype=np.uint64)
        signatures.append((along.size, along.tobytes(), axis))
    return bits.transpose([axis for *_, axis in sorted(signatures)])


def _digest(bits: np.ndarray) -> bytes:
    digest = hashlib.blake2b(str(bits.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(bits).data)
    return digest.digest()


# A float64 too large for float32 becomes infinite, and is then seen to be another number.
@np.errstate(over="ignore", invalid="ignore")
def _number_bits(array: Any) -> np.ndarray:
    """Bits of the values as float32, or as float64 where that would round them.

    A complex number is its two parts, along one more axis.
    """
    wide: Any
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], axis=-1)
    if array.dtype.kind in "iub" and array.dtype.itemsize > 2:
        small = array.size == 0 or int(np.abs(array.astype(np.int64)).max()) < 2**24
        wide = array.astype(np.float32 if small else np.float64)
    elif array.dtype == np.float64:
        narrow = array.astype(np.float32)
        wide = narrow if bool((narrow == array).all()) else array
    elif array.dtype == np.dtype(ml_dtypes.bfloat16):
        return (array.view(np.uint16).astype(np.uint32) << np.uint32(16)) + _no_sign_of_zero(array)
    else:
        wide = array.astype(np.float32)
    wide = wide + wide.dtype.type(0)  # -0 becomes +0
    bits: np.ndarray = wide.view(f"u{wide.dtype.itemsize}")
    return bits


def _no_sign_of_zero(array: np.ndarray) -> np.ndarray:
    """What turns the bits of -0 into those of +0."""
    return np.where(array.view(np.uint16) == 0x8000, np.uint32(0x80000000), np.uint32(0))


def without_constant_axes(bits: np.ndarray) -> np.ndarray:
    """An array without the axes along which nothing changes, whatever it holds."""
    for axis in reversed(range(bits.ndim)):
        if bits.shape[axis] == 0:
            continue
        first = bits.take([0], axis=axis)
        last = bits.take([-1], axis=axis)
        if bits.shape[axis] == 1 or (np.array_equal(first, last) and bool((bits == first).all())):
            bits = first.squeeze(axis)
    return bits


def _mix(bits: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each element (the finalizer of SplitMix64, Steele et al. 2014)."""
    x = bits.astype(np.uint64)
    x += np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x
