"""The number that was meant where one was rounded to float32 as it was written."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    size = abs(number)
    if not 1e-30 < size < 1e30 or float(np.float32(size)) != size:
        return number
    for form, back in _FORMS:
        meant = back(float(f"{form(size):.{_DIGITS - 1}e}"))
        if np.float32(meant) == np.float32(size):
            return math.copysign(meant, number)
    return number
