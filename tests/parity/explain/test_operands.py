"""In which shapes an array can be combined with another."""

import numpy as np

from parity.explain.operands import fitted

A = np.arange(6.0).reshape(2, 3)


def test_as_it_is_where_it_broadcasts() -> None:
    np.testing.assert_array_equal(fitted(A, (4, 2, 3))[0], A)


def test_rows_of_a_flattened_batch_are_taken_apart() -> None:
    flat = np.arange(6.0)[:, None]
    assert [way.shape for way in fitted(flat, (2, 3, 5))] == [(2, 3, 1)]


def test_axes_change_places() -> None:
    shapes = {way.shape: way for way in fitted(A, (3, 2, 5))}
    np.testing.assert_array_equal(shapes[3, 2, 1][..., 0], A.T)


def test_a_number_fits_everything() -> None:
    assert [way.shape for way in fitted(np.ones((1, 1)), (3, 2))] == [()]


def test_what_fits_nowhere_has_no_way() -> None:
    assert fitted(np.arange(7.0), (2, 3)) == []
