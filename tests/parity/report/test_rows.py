"""Which rows a table has, and what they are called, for models of any shape."""

import dataclasses
from collections.abc import Sequence

import pytest
from comparisons_for_tests import (
    SCAN,
    SINGLE,
    STACKS,
    by_block,
    other_comparison,
    small_comparison,
)

from parity.report.rows import axis_rows, table_rows
from parity.report.table import csv_table, text_table
from parity.verdict.comparison import Comparison


def labels(comparison: Comparison) -> list[str]:
    return [row.label for row in table_rows(comparison).rows]


def with_local(comparison: Comparison) -> Comparison:
    columns = [
        dataclasses.replace(c, taps=[dataclasses.replace(t, local=t.metrics) for t in c.taps])
        for c in comparison.columns
    ]
    return dataclasses.replace(comparison, columns=columns)


def test_layers_are_rows_and_so_are_taps_around_them() -> None:
    lines = text_table(with_local(other_comparison(SCAN))).splitlines()
    assert lines[0].split() == [
        "layers",
        "elements",
        "ours",
        "local",
        "gain",
        "other",
        "local",
        "gain",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["embed", "0", "1", "2", "3", "head"]
    gains = [line.split()[4] for line in lines[1:]]
    assert [gain != "-" for gain in gains] == [False, False, True, True, True, False]


def test_two_stacks_stand_in_execution_order() -> None:
    encoder, decoder = ([f"{side}.layers[{i}]" for i in (0, 1)] for side in ("encoder", "decoder"))
    comparison = other_comparison(STACKS)
    assert labels(comparison) == ["embed", *encoder, "memory", *decoder, "logits"]
    assert [row.label for row in axis_rows(comparison).rows] == [*encoder, *decoder]
    assert table_rows(comparison).noun == "row"


def test_taps_without_an_index_are_rows_and_have_no_gain() -> None:
    comparison = with_local(other_comparison(SINGLE))
    header, *rows = (line.split(",") for line in csv_table(comparison).splitlines())
    assert header == ["tap", "elements", "ours", "ours local", "other", "other local"]
    assert [row[0] for row in rows] == list(SINGLE)


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        (SCAN, "layers, at each mlp"),
        (["x[0].a", "x[0].b", "x[1].a"], "x, at the last tap of each"),
        (SINGLE, "tap"),
    ],
)
def test_a_title_says_at_which_tap_values_leave_a_row(taps: Sequence[str], words: str) -> None:
    assert table_rows(other_comparison(taps)).words == words


def test_where_no_block_ends_there_is_a_row_per_tap() -> None:
    """Some taps alone were selected, of a subject that says through which values leave."""

    def rule(taps: Sequence[str]):
        found = by_block(taps)
        rows = [dataclasses.replace(row, leaving=None) for row in found.rows]
        return dataclasses.replace(found, rows=rows)

    comparison = dataclasses.replace(small_comparison(), rule=rule)
    assert table_rows(comparison).noun == "tap"
    assert labels(comparison) == [tap.tap for tap in comparison.columns[0].taps]


def test_a_row_that_another_column_alone_has_is_shown() -> None:
    whole = other_comparison(SCAN)
    ours = dataclasses.replace(whole.columns[0], taps=whole.columns[0].taps[:3])
    lines = text_table(dataclasses.replace(whole, columns=[ours, whole.columns[1]])).splitlines()
    assert lines[3].split()[:3] == ["1", "384", "-"]


def test_a_column_may_be_called_like_what_stands_beside_one() -> None:
    whole = with_local(other_comparison(SCAN))
    columns = [dataclasses.replace(whole.columns[0], name=name) for name in ("gain", "x local")]
    header = text_table(dataclasses.replace(whole, columns=columns)).splitlines()[0]
    assert header.split() == [
        "layers",
        "elements",
        "gain",
        "local",
        "gain",
        "x",
        "local",
        "local",
        "gain",
    ]


def test_long_names_of_taps_leave_room_for_figures() -> None:
    names = [f"model.encoder.quite_a_long_module_name_{c}.attention.out" + "x" * 60 for c in "abc"]
    lines = text_table(other_comparison(names)).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:]] == [
        f"…quite_a_long_module_name_{c}…" for c in "abc"
    ]
    wide = text_table(other_comparison(["日本" * 60])).splitlines()
    assert wide[1].split()[0].startswith("…")
    assert len(wide[1]) < 80
