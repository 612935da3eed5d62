"""Figures and words of findings: infinities are counted, never printed as a distance."""

import functools
import warnings

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from explanations_for_tests import said

from parity.explain import causes
from parity.explain.document import explained as document
from parity.explain.figures import differing, mismatched, shape_of
from parity.explain.fingerprint import fingerprint

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 16)), jnp.float32)
INF, NAN = np.inf, np.nan
explain = functools.partial(causes, attribution=False)


@pytest.mark.parametrize(
    ("ours", "reference", "words"),
    [
        ([1.0, 2.0], [1.0, 2.5], "1 of 2 differ, by up to 0.5"),
        (
            [1.0, INF],
            [1.5, 2.0],
            "2 of 2 differ, by up to 0.5, 1 of them infinite or NaN on a side",
        ),
        ([-INF, INF], [0.0, -INF], "2 of 2 differ, 2 of them infinite or NaN on a side"),
        ([INF, NAN], [INF, NAN], "0 of 2 differ"),
        ([NAN, NAN], [0.0, 0.0], "2 of 2 differ, 2 of them infinite or NaN on a side"),
        ([0.0], [-0.0], "0 of 1 differ"),
        ([], [], "0 of 0 differ"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_infinities_and_nan_are_counted_apart(ours, reference, words: str, dtype) -> None:
    with warnings.catch_warnings(action="error"):
        counted = differing(np.asarray(ours, dtype), np.asarray(reference, dtype))
    assert str(counted) == words


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (np.int32([2**24 + 1, 5]), np.int32([2**24, 5])),
        (np.uint8([255, 1]), np.uint8([0, 1])),
        (np.bool_([True, False]), np.bool_([False, False])),
        (np.int32([3, 1]), np.float32([2.5, 1])),
        (np.complex64([1j, 2]), np.complex64([1, 2])),
    ],
)
def test_integers_booleans_and_complex_numbers_are_compared_as_they_are(ours, reference) -> None:
    with warnings.catch_warnings(action="error"):
        assert differing(ours, reference).count == 1


def test_bits_are_counted_by_element_in_any_dtype() -> None:
    for dtype in (np.bool_, np.int8, ml_dtypes.bfloat16, np.float32, np.complex64, np.complex128):
        a = np.asarray([[1, 0, 1]], dtype)
        assert mismatched(a, a.copy()) == 0
        assert mismatched(a, a[:, ::-1].copy()) == 0
        assert mismatched(a, 1 - a if dtype != np.bool_ else ~a) == 3
    assert mismatched(np.float32([0.0, 1]), np.float32([-0.0, 1])) == 1
    assert mismatched(np.float32([0, 1]), np.int32([0, 1])) == 2
    assert mismatched(np.float32(3), np.float32(3)) == 0


def test_a_mask_of_infinities_is_told_without_one() -> None:
    def ours(x):
        return jax.nn.relu(jnp.where(x > 1.0, -jnp.inf, x * 2.0)) + jnp.where(x > 0.5, jnp.inf, x)

    def reference(x):
        return jax.nn.relu(jnp.where(x > 1.0, -jnp.inf, x * 3.0)) + jnp.where(x > 0.4, jnp.inf, x)

    with warnings.catch_warnings(action="error"):
        text = said(explain(ours, reference, X))
    assert "differ" in text
    assert " inf" not in text
    assert "nan" not in text


def test_an_operation_on_numbers_alone_is_said_to_be_of_constants() -> None:
    """`sqrt of :` says nothing."""
    explained = explain(
        lambda x: x * jnp.sqrt(jnp.float32(3.0)), lambda x: x * jnp.sqrt(jnp.float32(5.0)), X
    )
    assert "sqrt of constants: " in said(explained)
    (first, *_) = document(explained).causes
    assert dict(first["lines"])["operation"].startswith("sqrt of constants: ")


def test_an_operation_without_inputs_is_of_nothing() -> None:
    explained = explain(
        lambda x: x * jnp.arange(16.0), lambda x: x * (jnp.arange(17.0)[1:] * 2.0), X
    )
    assert "iota: " in said(explained)
    assert " of :" not in said(explained)


def test_a_fingerprint_of_what_float32_does_not_hold_warns_of_nothing() -> None:
    with warnings.catch_warnings(action="error"):
        mark = fingerprint(np.float64([1e300, -1e300, NAN, INF, 1, 2]))
    assert mark.telling


def test_shapes_are_shown_with_their_dtype() -> None:
    assert shape_of(X.astype(jnp.bfloat16)) == "bfloat16[6, 16]"


def test_complex_numbers_are_told_apart_by_both_parts() -> None:
    def spectrum(x, factor):
        return jnp.fft.fft(x) * jnp.complex64(factor)

    with warnings.catch_warnings(action="error"):
        explained = explain(lambda x: spectrum(x, 1j), lambda x: spectrum(x, 2j), X)
        assert not explained.agrees
        (cause,) = explained.causes
        assert cause.where.text == "return jnp.fft.fft(x) * jnp.complex64(factor)"
        assert explain(lambda x: spectrum(x, 1j), lambda x: spectrum(x, 1j), X).agrees
