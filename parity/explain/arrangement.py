"""One program's array in the arrangement of the other's: axes permuted, split, merged, repeated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.explain.content import numbers

_MOST = 3
_MOST_AXES = 6
_TRIED = 400


def arrangements(array: Any, like: Any) -> list[Any]:
    """Arrays of the elements of `array` in the shape and dtype of `like`, the nearest first.

    An array whose elements are repeated along an axis is taken once, and repeated as `like` is:
    each element in turn, or all of them again and again.
    """
    first = [np.asarray(array)] if array.shape == like.shape else []
    plain, target = np.asarray(array), np.asarray(like)
    made = _repeated(plain, target)
    if plain.size == target.size:
        made = itertools.chain(_moved(plain, target.shape), made)
    wanted = numbers(target)
    found: list[tuple[float, np.ndarray]] = []
    seen: set[bytes] = set()
    for moved in itertools.islice(itertools.chain(first, made), _TRIED):
        key = np.ascontiguousarray(moved).tobytes()
        if key not in seen:
            seen.add(key)
            found.append((_distance(numbers(moved), wanted), moved))
    found.sort(key=lambda item: item[0])
    nearest = [moved for _, moved in found[:_MOST]]
    if first and not any(moved is first[0] for moved in nearest):
        nearest.append(first[0])
    return [moved.astype(like.dtype) for moved in nearest]


def _moved(array: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Of one size: every permutation of the finer axes of the two."""
    if array.size == 0:
        return
    own, wanted = _proper(array.shape), _proper(shape)
    if len(own) >= len(wanted):
        # Axes of ours, in an order in which neighbours merge to the wanted axes.
        squeezed = array.reshape(own)
        if len(own) > _MOST_AXES:
            yield array.reshape(shape)
            return
        for order in itertools.permutations(range(len(own))):
            if _merges([own[i] for i in order], wanted):
                yield squeezed.transpose(order).reshape(shape)
    else:
        # Axes of ours split to the wanted ones, which then change places.
        for order in itertools.permutations(range(len(wanted))):
            if len(wanted) <= _MOST_AXES and _merges([wanted[i] for i in order], own):
                split = array.reshape([wanted[i] for i in order])
                yield split.transpose(np.argsort(order)).reshape(shape)
    yield array.reshape(shape)


def _proper(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def _merges(parts: list[int], whole: list[int]) -> bool:
    """Neighbouring parts multiply to the whole's axes, one after the other."""
    rest = iter(parts)
    for size in whole:
        product = 1
        while product < size:
            product *= next(rest, size + 1)
        if product != size:
            return False
    return next(rest, None) is None


def _repeated(array: np.ndarray, like: np.ndarray) -> Iterator[np.ndarray]:
    """Elements once, then as often as the shape wants them: along the axis that repeats there."""
    shape, size = like.shape, like.size
    repeating = {axis for axis, _ in _repeats(like)} or set(range(like.ndim))
    if not size or not array.size:
        return
    for once in _once(array):
        if size % once.size:
            continue
        times = size // once.size
        if times == 1:
            yield from _moved(once, shape)
            continue
        for axis, length in enumerate(shape):
            if length % times or axis not in repeating:
                continue
            rest = (*shape[:axis], length // times, *shape[axis + 1 :])
            for moved in _moved(once, rest):
                yield np.repeat(moved, times, axis=axis).reshape(shape)
                yield np.concatenate([moved] * times, axis=axis).reshape(shape)


def _once(array: np.ndarray) -> Iterator[np.ndarray]:
    """The array, and what is left of it where elements are repeated along an axis."""
    yield array
    yield from (shorter for _, shorter in _repeats(array))


def _repeats(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Axes along which elements are repeated, each with what is left without."""
    for axis, length in enumerate(array.shape):
        for times in range(2, length + 1):
            if length % times:
                continue
            rest = length // times
            tiled = array.reshape(*array.shape[:axis], times, rest, *array.shape[axis + 1 :])
            if (tiled == tiled.take([0], axis=axis)).all():
                yield axis, tiled.take(0, axis=axis)
            turns = array.reshape(*array.shape[:axis], rest, times, *array.shape[axis + 1 :])
            if (turns == turns.take([0], axis=axis + 1)).all():
                yield axis, turns.take(0, axis=axis + 1)


def once(array: np.ndarray) -> np.ndarray:
    """What is left of an array where no elements are repeated along an axis."""
    while True:
        shorter = next((a for a in _once(array) if a.size < array.size), None)
        if shorter is None:
            return array
        array = shorter


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return math.inf
    finite = (np.abs(a) < 1e8) & (np.abs(b) < 1e8)
    with np.errstate(invalid="ignore"):
        return float(np.linalg.norm(np.where(finite, a - b, 0)))
