"""Fourier transforms.

Of the transform y of n elements x, computed by a fast algorithm in t = ⌈log₂ n⌉ steps,

    ‖ŷ - y‖₂ ≤ t η / (1 - t η) ‖y‖₂    η = u + γ(4) (√2 + u), about 7u

(Higham 2002, Theorem 24.2). No element is farther off than the norm. An error E of the input moves
no element by more than Σ E, divided by n in an inverse transform. A length that is no power of two
takes two or three transforms of up to four times the length (Bluestein 1970).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from parity.program.bounded import Operation

_STEP = 7.0
_BLUESTEIN = 3


def _transform(op: Operation) -> Any:
    (x,), lengths = op.inputs, op.params["fft_lengths"]
    kind = op.params["fft_type"].name
    axes = tuple(range(-len(lengths), 0))
    steps = sum(_steps(n) for n in lengths) * _STEP * op.unit
    # Half of a real signal's transform has half of its square, or more.
    halves = 2 if kind == "RFFT" else 1
    norm = jnp.sqrt(halves * jnp.sum(jnp.abs(op.value) ** 2, axes, keepdims=True))
    error = steps / (1 - steps) * norm
    if x.error is not None:
        error = error + _moved(x.bound, kind, lengths, axes)
    return jnp.broadcast_to(error, op.value.shape)


def _moved(error: Any, kind: str, lengths: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    total = jnp.sum(error, axes, keepdims=True)
    if kind == "IRFFT":  # each element stands for its conjugate as well
        return 2 * total / math.prod(lengths)
    return total / math.prod(lengths) if kind == "IFFT" else total


def _steps(n: int) -> int:
    steps = math.ceil(math.log2(max(n, 2)))
    return steps if n & (n - 1) == 0 else _BLUESTEIN * (steps + 2)


RULES: dict[str, Callable[[Operation], Any]] = {"fft": _transform}
COMPLEX = frozenset(RULES)
