"""How taps are grouped into rows, and what a comparison says of them."""

import numpy as np
import pytest

from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.verdict.grouping import Row, by_index
from parity.verdict.taps import TapDiff

LAYERS = [f"layers[{i}].{kind}" for i in range(2) for kind in ("attn", "mlp")]


def test_an_index_in_a_name_is_a_row() -> None:
    found = by_index(["embed", *LAYERS, "head"])
    assert found.noun == "layers"
    assert [row.label for row in found.rows] == ["embed", "0", "1", "head"]
    assert found.rows[2] == Row("1", "layers[0].mlp", "layers[1].mlp")
    assert found.kind("layers[1].mlp") == "mlp"
    assert list(found.shown) == []


@pytest.mark.parametrize("name", ["x.20240101123045.y", "x." + "9" * 5000, "x.²"])
def test_a_number_that_is_no_index_is_part_of_a_name(name: str) -> None:
    found = by_index([name])
    assert found.row(name) == name
    assert found.number(name) is None


def test_a_tap_that_is_a_row_of_its_own_has_no_gain() -> None:
    one, two = np.float32([1, 2]), np.float32([1, 3])
    taps = [diff_arrays(name, two, one) for name in ("embed", *LAYERS)]
    comparison = Comparison({}, [Column("ours", {}, taps)])
    gains = [comparison.gain(comparison.columns[0], tap) for tap in taps]
    assert gains == [None, 1, 1, 1, 1]


def test_values_leave_a_row_at_a_tap_that_was_held_against_the_reference() -> None:
    """Taps that only the reference has stand last in a column, wherever they were in its run."""
    same = np.ones(2, np.float32)
    taps = [diff_arrays(name, same, same) for name in LAYERS]
    lacking = [TapDiff(name, "missing") for name in ("layers[0].probs", "layers[2].mlp", "head")]
    comparison = Comparison({}, [Column("ours", {}, [*taps, *lacking])])
    leaving = {row.label: row.leaving for row in comparison.grouping.rows}
    assert leaving == {
        "0": "layers[0].mlp", "1": "layers[1].mlp", "2": "layers[2].mlp", "head": "head",
    }  # fmt: skip
