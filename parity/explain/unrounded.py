"""The number that was meant where one is rounded to float32, or known but for such a rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

# How a number is written, and how it is got back: a scale is often the root of a whole number.
_FORMS: tuple[tuple[Callable[[float], float], Callable[[float], float]], ...] = (
    (lambda x: x, lambda y: y),
    (lambda x: 1 / x, lambda y: 1 / y),
    (lambda x: x * x, lambda y: math.sqrt(y)),
    (lambda x: 1 / (x * x), lambda y: 1 / math.sqrt(y)),
)
_DIGITS = 5


def unrounded(number: float) -> float:
    """The nearest number of few digits, its reciprocal or its root that float32 rounds to this one.

    The number itself where there is none.
    """
    if not 1e-30 < abs(number) < 1e30 or float(np.float32(number)) != number:
        return number
    near = (meant for meant in _meant(number) if np.float32(meant) == np.float32(number))
    return next(near, number)


def nearly(number: float, tolerance: float) -> float:
    """The same of a number that is known within a tolerance of its size."""
    if not 1e-30 < abs(number) < 1e30:
        return number
    near = (m for m in _meant(number) if math.isclose(m, number, rel_tol=tolerance, abs_tol=0))
    return next(near, number)


def _meant(number: float) -> Iterator[float]:
    for form, back in _FORMS:
        yield math.copysign(back(float(f"{form(abs(number)):.{_DIGITS - 1}e}")), number)
