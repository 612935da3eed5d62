"""Content of arrays by which values of two programs in float64 are recognised, within a tolerance.

Two programs that compute one formula in other orders agree to many digits in float64, never to the
last bit. A value of one is the other's where the *sorted* elements agree, so that transposes and
reshapes don't matter, and where one has each element k times as often, as after a broadcast or a
repeat. Marks are numbers of classes: each array is held against one that stands for its class,
found by its mean magnitude.

A mask is one thing in all its forms: elements beyond 1e8 in size are minus infinity, and an array
of that or zero and one other element is a mask, whatever the other is and whichever of them masks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from parity.explain.fingerprint import TELLING, Fingerprint, without_constant_axes
from parity.explain.match import Fingerprints

# Elements agree within this much of their own size, and of what is small in their array.
TOLERANCE = 1e-8
# What constants that were rounded to float32 do to a value.
ROUNDED = 3e-7
_MASKED = 1e8
_BUCKET = 1e-6
# Beyond this many elements moments speak for the sorted elements.
_SORTED = 1 << 16
_MOST_AXES = 5


@dataclass(eq=False)
class _Class:
    """Arrays of one content.

    Attributes:
      number: of the class; those of its arrangements are unique, too.
      sorted: elements of the array that stands for it; None if it is large.
      arrangements: arrays in which the elements stand in other places, with their numbers of order
        and place.
    """

    number: int
    moments: tuple[float, ...]
    sorted: np.ndarray | None
    arrangements: list[tuple[np.ndarray, int, int]] = field(default_factory=list)


class Contents(Fingerprints):
    """Marks by content; of two arrays with one mark either can stand for the other."""

    def __init__(self) -> None:
        super().__init__()
        self._buckets: dict[tuple[Any, ...], list[_Class]] = {}
        self._numbers = itertools.count()
        self._places: set[int] = set()

    def found(self, array: Any) -> Fingerprint | None:
        """None, at the cost of a mean, where no class has its mean magnitude."""
        flat = numbers(array).reshape(-1)
        size = np.abs(flat)
        if not size.max(initial=0) < _MASKED:
            size = size[size < _MASKED]
        place = _bucket(float(size.mean())) if size.size else 0
        if not any(near in self._places for near in (place, place - 1, place + 1)):
            return None
        return self.of_array(array)

    def of_array(self, array: Any) -> Fingerprint:
        plain = without_constant_axes(numbers(array))
        flat = plain.reshape(-1)
        masked = ~(np.abs(flat) < _MASKED)  # NaN, too
        finite = flat[~masked] if masked.any() else flat
        distinct = _distinct(finite, finite is not flat)
        if distinct <= 2 < flat.size and (distinct < 2 or masked.any() or (flat == 0).any()):
            plain = np.equal(plain, flat[0]) | (np.isnan(plain) & np.isnan(flat[0]))
            share = plain.mean()
            plain = plain.astype(np.float64)
            kind: tuple[Any, ...] = ("mask", round(float(min(share, 1 - share)), 9))
            if distinct == 1 and finite is flat:
                kind = ("constant",)
                plain = flat[:1]
            finite = plain.reshape(-1)
        else:
            kind = ("values", round(1 - finite.size / max(flat.size, 1), 9))
        number = self._class(kind, finite)
        whole = bool((finite[: 1 << 16] == np.round(finite[: 1 << 16])).all())
        telling = distinct >= TELLING and not whole
        return Fingerprint((number.number, 0, 0), *self._arrangement(number, plain), telling)

    def _class(self, kind: tuple[Any, ...], finite: np.ndarray) -> _Class:
        moments = moments_of(finite)
        ordered = np.sort(finite) if finite.size <= _SORTED else None
        if kind[0] == "mask":
            found = self._buckets.setdefault(kind, [])
            return found[0] if found else self._new(found, moments, None)
        place = _bucket(moments[0])
        for near in (place, place - 1, place + 1):
            for candidate in self._buckets.get((*kind, near), []):
                if close_moments(moments, candidate.moments) and close_sorted(
                    ordered, candidate.sorted
                ):
                    return candidate
        return self._new(self._buckets.setdefault((*kind, place), []), moments, ordered)

    def _new(self, among: list[_Class], moments: Any, ordered: np.ndarray | None) -> _Class:
        made = _Class(next(self._numbers), moments, ordered)
        self._places.add(_bucket(moments[0]))
        among.append(made)
        return made

    def _arrangement(self, found: _Class, plain: np.ndarray) -> tuple[bytes, bytes]:
        """Marks of the elements' order up to a permutation of axes, and of their places."""
        order: int | None = None
        for known, its_order, its_place in found.arrangements:
            if known.shape == plain.shape and close(known, plain):
                return str(its_order).encode(), str(its_place).encode()
            if order is None and _transposed(known, plain):
                order = its_order
        place = next(self._numbers)
        order = place if order is None else order
        if plain.size <= _SORTED or not found.arrangements:
            found.arrangements.append((plain, order, place))
        return str(order).encode(), str(place).encode()


def numbers(array: Any) -> np.ndarray:
    """Elements as float64; of a complex array its two parts, along one more axis."""
    if jax.numpy.issubdtype(getattr(array, "dtype", np.float64), jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    plain = np.asarray(array)
    if plain.dtype.kind == "c":
        plain = np.stack([plain.real, plain.imag], axis=-1)
    return plain.astype(np.float64)


def moments_of(finite: np.ndarray) -> tuple[float, ...]:
    """Mean size, mean, mean square, least and greatest: repeating all elements keeps them."""
    if not finite.size:
        return (0.0,) * 5
    return (
        float(np.abs(finite).mean()),
        float(finite.mean()),
        float(np.dot(finite, finite) / finite.size),
        float(finite.min()),
        float(finite.max()),
    )


def close_moments(a: tuple[float, ...], b: tuple[float, ...], tolerance: float = TOLERANCE) -> bool:
    size = max(a[0], b[0])
    return all(
        abs(x - y) <= 4 * tolerance * max(abs(x), abs(y), size) for x, y in zip(a, b, strict=True)
    )


def close_sorted(a: np.ndarray | None, b: np.ndarray | None, tolerance: float = TOLERANCE) -> bool:
    """Sorted elements agree, or those of one are the other's k times over."""
    if a is None or b is None:
        return True  # too many; their moments agree
    if a.size < b.size:
        a, b = b, a
    if a.size == b.size:
        return close(a, b, tolerance)
    if not b.size or a.size % b.size:
        return False
    times = a.size // b.size
    return all(close(a[shift::times], b, tolerance) for shift in {0, times // 2, times - 1})


def close(a: np.ndarray, b: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Elements agree within the tolerance of their own size, or of what is small in the array.

    What is large enough to mask agrees with what is.
    """
    both = (np.abs(a) >= _MASKED) & (np.abs(b) >= _MASKED) | (np.isnan(a) & np.isnan(b))
    return bool((_near(a, b, tolerance, _MASKED) | both).all())


def close_outputs(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """The same of what a function returns, where large numbers are numbers."""
    alike = (a == b) | (np.isnan(a) & np.isnan(b))
    return bool((_near(a, b, tolerance, np.inf) | alike).all())


def _near(a: np.ndarray, b: np.ndarray, tolerance: float, most: float) -> np.ndarray:
    size = np.minimum(np.abs(b), most)
    quarter = size.size // 4
    small = float(np.partition(size, quarter, axis=None)[quarter]) if size.size else 0.0
    with np.errstate(invalid="ignore"):
        near: np.ndarray = np.abs(a - b) <= tolerance * (size + min(small, _MASKED))
        return near & np.isfinite(a) & np.isfinite(b)


def _bucket(size: float) -> int:
    return math.floor(math.log(size) / _BUCKET) if size > 0 else -(1 << 62)


def _distinct(finite: np.ndarray, masked: bool) -> int:
    """Different elements, up to `TELLING`."""
    step = max(1, finite.size // 4096)
    found = np.unique(finite[::step][:8192])
    if step > 1 and found.size < TELLING:
        found = np.unique(finite)
    return min(int(found.size) + masked, TELLING)


def _transposed(a: np.ndarray, b: np.ndarray) -> bool:
    return any(close(moved, b) for moved in _permuted(a, b.shape))


def _permuted(a: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    if sorted(a.shape) != sorted(shape) or a.ndim > _MOST_AXES:
        return
    for axes in itertools.permutations(range(a.ndim)):
        if tuple(a.shape[i] for i in axes) == shape:
            yield a.transpose(axes)
