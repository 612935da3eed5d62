"""One program's array in the arrangement of the other's."""

import numpy as np
import pytest

from parity.explain.arrangement import arrangements, once

R = np.random.default_rng(0)
HEADS = R.standard_normal((2, 3, 7, 4))  # B N T H


def there(array, like) -> bool:
    """The wanted array is among those that are tried."""
    return any(np.array_equal(found, like) for found in arrangements(array, like))


@pytest.mark.parametrize(
    "like",
    [
        HEADS,
        HEADS.transpose(0, 2, 1, 3),
        HEADS.transpose(0, 2, 1, 3).reshape(2, 7, 12),
        HEADS.reshape(6, 7, 4),
        HEADS[:, None],
    ],
    ids=["as it is", "axes moved", "heads joined", "axes merged", "an axis of one"],
)
def test_axes_are_moved_merged_and_split(like) -> None:
    assert there(HEADS, like)
    assert there(like, HEADS)


def test_what_is_repeated_is_taken_once_and_repeated_as_the_other() -> None:
    keys = R.standard_normal((2, 5, 2, 4))
    each, again = np.repeat(keys, 3, axis=2), np.tile(keys, (1, 1, 3, 1))
    for like in (each, again):
        assert there(keys, like)
        assert there(keys.transpose(0, 2, 1, 3), like)
    assert there(each, again)


def test_arrays_of_other_elements_have_no_arrangement() -> None:
    assert arrangements(HEADS, np.zeros((5, 5))) == []


@pytest.mark.parametrize("shape", [(3, 1, 4), (3, 6, 4)])
def test_once_leaves_no_repetition(shape) -> None:
    table = R.standard_normal((3, 2, 4))[:, : 1 if shape[1] == 1 else 2]
    repeated = np.tile(table, (1, shape[1] // table.shape[1], 1))
    assert once(np.broadcast_to(repeated[None], (5, *shape))).size == table.size
