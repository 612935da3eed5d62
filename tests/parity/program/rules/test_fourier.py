"""Fourier transforms: bounds hold, and tell another formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import (
    DTYPES,
    Case,
    check_another_exceeds,
    check_within,
    perturbed,
    samples,
    third,
)


def spectrum(x: Any) -> Any:
    return jnp.fft.fft2(third(x).astype(jnp.float32)).real


def slow_spectrum(x: Any) -> Any:
    """By the definition, as two matrix products."""
    x = third(x).astype(jnp.float32)
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in x.shape
    )
    return (rows.astype(np.complex64) @ x @ columns.astype(np.complex64)).real


def filtered(x: Any, shift: int = 0) -> Any:
    spectrum = jnp.fft.rfft(third(x).astype(jnp.float32))
    return jnp.fft.irfft(spectrum * jnp.arange(spectrum.shape[-1]), n=x.shape[-1]) + shift * x


CASES = {
    "fft": Case(spectrum, lambda x: spectrum(x[::-1]), ((8, 12),), (slow_spectrum,)),
    "real fft and back": Case(filtered, lambda x: filtered(x, 1), ((5, 16),)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_computed_stays_within(name: str, dtype: str) -> None:
    check_within(CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_another_formula_does_not(name: str, dtype: str) -> None:
    check_another_exceeds(CASES[name], dtype)


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "there": lambda x: jnp.fft.fft2(x).imag,
    "back": lambda x: jnp.abs(jnp.fft.ifft(x, axis=0)),
    "real": lambda x: jnp.abs(jnp.fft.rfft(x)),
    "real, back": lambda x: jnp.fft.irfft(jax.lax.complex(x, -x), n=9),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("seed", range(5))
def test_errors_of_the_input_move_it_no_farther(name: str, seed: int) -> None:
    x, e = samples(seed, 6, 5), 1e-6 * np.abs(samples(seed + 1, 6, 5))
    (distance,), (bound,) = perturbed(TRANSFORMS[name], [x], [e], seed)
    assert (distance <= bound * (1 + 1e-3)).all()
    assert distance.max() > bound.max() / 100


@pytest.mark.parametrize("length", [64, 97, 100])
def test_lengths_of_every_kind_stay_within(length: int) -> None:
    check_within(Case(spectrum, spectrum, ((2, length),)), "float32", seeds=1)
