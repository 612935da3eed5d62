"""Tables and files: widths, escapes, and what is shown where nothing was compared."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from parity.comparison import Column, Comparison, TapDiff
from parity.diff import diff_arrays
from parity.report.files import ReportFolder, summary
from parity.report.plot import draw_divergence
from parity.report.table import csv_table, markdown_table, text_table, verdict, verdict_lines

ONE, TWO = np.float32([1, 2]), np.float32([1, 3])


def column(name: str, *taps: TapDiff) -> Column:
    return Column(name, {}, taps)


def block(i: int, other: np.ndarray = ONE) -> TapDiff:
    return diff_arrays(f"blocks.{i}.output", ONE, other)


def test_the_table_is_aligned_with_a_row_per_block() -> None:
    comparison = Comparison(
        {}, [column("ours", *map(block, range(11))), column("eps", block(0, TWO))]
    )
    lines = text_table(comparison).splitlines()
    assert lines[0] == "block  elements  ours  eps"
    assert lines[1] == "    0         2     0    1"
    assert lines[11] == "   10         2     0    -"
    assert len({len(line) for line in lines}) == 1


def test_a_wide_table_is_folded_at_80_columns() -> None:
    columns = [column(f"a rather long variant name {i}", block(0)) for i in range(6)]
    text = text_table(Comparison({}, columns))
    assert max(map(len, text.splitlines())) <= 80
    parts = text.split("\n\n")
    assert len(parts) == 3
    assert all(part.startswith("block  elements") for part in parts)
    assert all(f"name {i}" in text for i in range(6))


def test_logits_have_a_row_of_their_own() -> None:
    logits = diff_arrays("logits", ONE, ONE)
    assert text_table(Comparison({}, [column("ours", block(0), logits)])).endswith(
        "logits         2     0"
    )


def test_a_status_stands_where_there_is_no_count() -> None:
    ours = column("ours", block(0, ONE[:1]))
    assert "shape" in text_table(Comparison({}, [ours]))


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        ([block(0)], "identical (1 of 1 taps compared)"),
        ([block(0), block(1, TWO)], "blocks.1.output: 1 of 2 differ, up to 4194304 ULP"),
        (
            [block(0), TapDiff("rope", "not_compared", "why")],
            "identical where compared (1 of 2 taps; not: rope)",
        ),
        ([TapDiff("rope", "not_compared", "why")], "nothing compared: 0 of 1 taps"),
        ([block(0, ONE[:1])], "blocks.0.output: shape, expected [2], got [1]"),
        (
            [block(0, np.float32([1, np.nan]))],
            "blocks.0.output: 1 of 2 differ, up to 0 ULP, "
            "1 of the mismatched elements are Inf or NaN on a side",
        ),
    ],
)
def test_verdicts_say_what_was_seen(taps: list[TapDiff], words: str) -> None:
    assert verdict(column("ours", *taps)) == words
    assert verdict_lines(Comparison({}, [column("ours", *taps)])) == [f"ours  {words}"]


HOSTILE = "a|<script>alert(1)</script>\nb"


def test_names_are_data_in_markdown_and_csv() -> None:
    comparison = Comparison({}, [column(HOSTILE, diff_arrays(HOSTILE, ONE, TWO))])
    markdown = markdown_table(comparison)
    assert "<script>" not in markdown
    assert len(markdown.splitlines()) == 3
    assert all(line.replace("\\|", "").count("|") == 4 for line in markdown.splitlines())
    rows = list(csv.reader(io.StringIO(csv_table(comparison))))
    assert rows[0] == ["tap", "elements", HOSTILE]
    assert rows[1] == [HOSTILE, "2", "1"]


def test_the_summary_starts_with_the_verdict() -> None:
    good = Comparison({"model": "m"}, [column("ours", block(0))])
    bad = Comparison({"model": "m"}, [column("ours", block(0, TWO))])
    assert summary(good).startswith("# Parity holds\n")
    assert summary(bad).startswith("# Parity does not hold\n")
    assert "- model: m" in summary(good)


def test_the_picture_has_a_line_per_column(tmp_path: Path) -> None:
    columns = [column(f"v{i} $x_1$", *map(block, range(3))) for i in range(9)]
    draw_divergence(Comparison({}, columns), tmp_path / "d.png")
    assert (tmp_path / "d.png").stat().st_size > 10_000
    draw_divergence(
        Comparison({}, [column("ours", diff_arrays("x", ONE, TWO))]), tmp_path / "e.png"
    )


def test_a_folder_given_up_leaves_no_parents(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ReportFolder(tmp_path / "a" / "b" / "c"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
