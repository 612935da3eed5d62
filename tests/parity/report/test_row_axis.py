"""Pictures of models of any shape: an axis has their own rows, by number or by name."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
from comparisons_for_tests import HOSTILE, SCAN, SINGLE, STACKS, other_comparison

from parity.report.plots import PICTURES, draw_pictures
from parity.report.plots.style import styled
from parity.verdict.comparison import Comparison


def drawn_rows(name: str, comparison: Comparison) -> tuple[Any, list[str]]:
    """A picture, and the labels of its axis of rows."""
    with styled():
        found = PICTURES[name](comparison)
    assert not isinstance(found, str), found
    axis = found.axes[0].yaxis if name == "tokens" else found.axes[-1].xaxis
    return found, [label.get_text() for label in axis.get_ticklabels()]


def with_local(comparison: Comparison) -> Comparison:
    """Local errors were measured."""
    columns = [
        dataclasses.replace(c, taps=[dataclasses.replace(t, local=t.metrics) for t in c.taps])
        for c in comparison.columns
    ]
    return dataclasses.replace(comparison, columns=columns)


@pytest.mark.parametrize(
    ("names", "noun", "labels"),
    [
        (SCAN, "layers", ["0", "1", "2", "3"]),
        (STACKS, "row", [f"{side}.layers[{i}]" for side in ("encoder", "decoder") for i in (0, 1)]),
        (SINGLE, "tap", list(SINGLE)),
    ],
    ids=["scan", "stacks", "single taps"],
)
@pytest.mark.parametrize("name", ["divergence", "errors", "tokens"])
def test_an_axis_has_the_models_own_rows_in_execution_order(
    name: str, names: tuple[str, ...], noun: str, labels: list[str]
) -> None:
    found, shown_labels = drawn_rows(name, with_local(other_comparison(names)))
    assert [label for label in shown_labels if label in labels] == labels
    axes = found.axes[0].get_ylabel() if name == "tokens" else found.axes[-1].get_xlabel()
    assert axes == noun
    title = found.get_suptitle()
    assert f"by {noun}" in title or f"token and {noun}" in title
    assert "block" not in title
    assert "residual" not in title
    assert "forward, against hf_forward" in title


def test_single_taps_have_no_gain() -> None:
    assert len(drawn_rows("errors", with_local(other_comparison(SINGLE)))[0].axes) == 2
    assert len(drawn_rows("errors", with_local(other_comparison(SCAN)))[0].axes) == 3


def test_rows_whose_numbers_do_not_follow_each_other_have_labels() -> None:
    names = [f"layers[{i}].{kind}" for i in (0, 7, 3) for kind in ("attn", "mlp")]
    found, labels = drawn_rows("divergence", other_comparison(names))
    assert labels == ["0", "7", "3"]
    assert list(found.axes[0].lines[0].get_xdata()) == [0, 1, 2]


def test_of_many_taps_every_nth_is_named_by_what_tells_it_apart() -> None:
    names = [f"model.encoder.a_rather_long_name_{i:03}x.projection" for i in range(300)]
    found, labels = drawn_rows("divergence", other_comparison(names))
    assert len(set(labels)) == 25  # every 12th
    assert labels[1].endswith("_012x…")
    assert max(map(len, labels)) <= 22
    assert found.axes[-1].xaxis.get_ticklabels()[0].get_rotation() == 90


def test_names_of_rows_are_only_names(tmp_path: Path) -> None:
    """On axes and in titles, too."""
    names = [f"{hostile}[{i}].{hostile}" for i, hostile in enumerate(HOSTILE)]
    one_stack = [rf"$\frac{{x$[{i}].$\frac{{y$" for i in range(3)]  # no mathematics: an error
    for taps in (HOSTILE, names, one_stack):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = draw_pictures(with_local(other_comparison(taps)), tmp_path).drawn
        assert drawn == ("divergence", "errors", "ulp", "tokens")
