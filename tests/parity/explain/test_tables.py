"""Tables that float32 rounded, in whatever arrangement, are no difference; wrong ones are."""

import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places

from parity.explain import causes
from parity.explain.tables import is_rounded

X = jnp.asarray(np.random.default_rng(3).standard_normal((7, 8)), jnp.float32)


def reference(x):
    rates = 1.0 / 10000.0 ** (jnp.arange(0, 8, 2) / 8)
    angle = jnp.concatenate([jnp.outer(jnp.arange(7), rates)] * 2, -1)
    half = jnp.concatenate([-x[:, 4:], x[:, :4]], -1)
    return jnp.tanh(x * jnp.cos(angle) + half * jnp.sin(angle))


def spun(x, base=10000.0):
    rates = np.float64(base) ** (-np.arange(4) / 4)
    angle = np.outer(np.arange(7), rates)
    spin = np.stack([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pairs = x.reshape(7, 2, 4)
    turned = jnp.einsum("ijtf,tjf->tif", spin.astype(np.float32), pairs)
    return jnp.tanh(turned.reshape(7, 8))


def test_a_matrix_of_cosines_and_sines_is_the_references_table() -> None:
    assert causes(spun, reference, X).causes == []


def test_another_base_is_found_where_the_tables_are_of_float32() -> None:
    found = causes(lambda x: spun(x, 500.0), reference, X)
    assert line_of(spun, "spin =") - 2 <= places(found, __file__)[0] <= line_of(spun, "turned =")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.float64([1, 0.5, 2]), False),  # round numbers have no rounding
        (np.float64([1 / 3, 0.1]), False),
        (np.float32([1 / 3, 0.1]).astype(np.float64), True),
    ],
)
def test_a_table_of_float32_is_told_by_its_elements(array: np.ndarray, expected: bool) -> None:
    assert is_rounded(array) == expected


def base_of(x, base):
    rates = base ** (-2.0 * jnp.arange(4) / 8)
    angle = jnp.arange(7)[:, None] * rates
    low, high = x[:, :4], x[:, 4:]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.tanh(jnp.concatenate([cos * low - sin * high, sin * low + cos * high], axis=1))


def rounded(x):
    rates = 1.0 / 10000.0 ** (np.arange(0, 8, 2) / 8)
    angle = np.concatenate([np.outer(np.arange(7), rates)] * 2, -1)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    return jnp.tanh(x * cos + jnp.concatenate([-x[:, 4:], x[:, :4]], -1) * sin)


def test_a_wrong_base_is_found_though_the_references_tables_are_rounded() -> None:
    wrong = causes(lambda x: base_of(x, jnp.float32(5000.0)), rounded, X)
    assert places(wrong, __file__) == [line_of(base_of, "rates =")]
    right = causes(lambda x: base_of(x, jnp.float32(10000.0)), rounded, X)
    assert right.causes == []
