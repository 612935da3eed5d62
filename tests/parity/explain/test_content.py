"""Values of two programs are one by content, within a tolerance."""

import jax.numpy as jnp
import numpy as np
import pytest

from parity.explain.content import Contents, close
from parity.explain.graph import Value

R = np.random.default_rng(0)
X = R.standard_normal((4, 6, 5))


def same(a, b) -> bool:
    contents = Contents()
    return contents.of(Value(a)).content == contents.of(Value(b)).content


@pytest.mark.parametrize(
    "other",
    [
        X * (1 + 1e-10 * R.standard_normal(X.shape)),
        X.transpose(2, 0, 1),
        X.reshape(24, 5),
        np.repeat(X, 3, axis=1),
        np.tile(X, (1, 2, 1)),
        np.broadcast_to(X[:, None], (4, 7, 6, 5)),
    ],
    ids=["rounded", "transposed", "reshaped", "repeated", "tiled", "broadcast"],
)
def test_a_value_is_known_in_another_order_and_form(other) -> None:
    assert same(X, other)


@pytest.mark.parametrize("other", [X * (1 + 1e-6), X + 1e-5, -X, np.where(X > 2, 0, X), X[:3]])
def test_another_value_is_another(other) -> None:
    assert not same(X, other)


def test_all_forms_of_a_mask_are_one() -> None:
    seen = np.tril(np.ones((9, 9), bool))
    forms = [seen, ~seen, seen.astype(float), np.where(seen, 0, -np.inf), np.where(seen, 0, -1e30)]
    assert all(same(seen, form) for form in forms)
    contents = Contents()
    orders = {contents.of(Value(mask)).order for mask in (*forms, seen.T)}
    assert len(orders) == 1
    assert contents.of(Value(np.tril(seen, -2))).order not in orders


def test_masked_values_are_one_however_they_are_masked() -> None:
    scores = R.standard_normal((9, 9))
    seen = np.tril(np.ones((9, 9), bool))
    assert same(np.where(seen, scores, -np.inf), np.where(seen, scores, -1e30))
    assert not same(np.where(seen, scores, -np.inf), scores)


def test_places_are_told_apart_from_content() -> None:
    contents = Contents()
    a, b, c = (contents.of(Value(v)) for v in (X, X.transpose(1, 0, 2), X[:, ::-1]))
    assert a.content == b.content == c.content
    assert a.order == b.order != c.order
    assert a.exact != b.exact


def test_small_integers_and_numbers_tell_nothing() -> None:
    contents = Contents()
    assert contents.of(Value(X)).telling
    assert not contents.of(Value(np.arange(40))).telling
    assert not contents.of(Value(np.float64(0.3))).telling


def test_what_no_class_is_there_for_is_not_found() -> None:
    contents = Contents()
    contents.of(Value(X))
    assert contents.found(X[::-1]) == contents.of(Value(X[::-1]))
    assert contents.found(X * 1.5) is None


def test_near_is_relative_to_what_is_small_in_an_array() -> None:
    """From the largest element a mask would hide everything."""
    a = np.array([1.0, 2.0, 3.0, 4.0, -1e30])
    assert close(a, a * (1 + 1e-9))
    assert not close(a, a + np.array([1e-6, 0, 0, 0, 0]))
    assert close(np.array([np.nan, np.inf]), np.array([np.nan, 1e30]))


def test_arrays_of_jax_are_taken_too() -> None:
    assert same(jnp.asarray(X, jnp.float32), np.asarray(X, np.float32))
