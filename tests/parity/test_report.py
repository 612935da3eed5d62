"""Tables and files: widths, escapes, and what is shown where nothing was compared."""

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from parity.accuracy import Accuracy
from parity.comparison import Column, Comparison
from parity.diff import diff_arrays
from parity.report.files import ReportFolder, summary
from parity.report.plot import draw_divergence
from parity.report.table import csv_table, markdown_table, text_table
from parity.report.text import verdict_lines, verified_line
from parity.status import UNEXAMINED, judged
from parity.taps import StageError, TapDiff

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
        ([block(0)], ["IDENTICAL"]),
        (
            [block(0), block(1, TWO)],
            [
                "DIVERGED at blocks.1.output",
                "1 of 2 differ, up to 4194304 ULP",
                UNEXAMINED,
            ],
        ),
        (
            [block(0), TapDiff("rope", "not_compared", "why")],
            ["IDENTICAL where compared; not: rope"],
        ),
        ([TapDiff("rope", "not_compared", "why")], ["nothing compared: 0 of 1 taps"]),
        ([block(0, ONE[:1])], ["SHAPE at blocks.0.output", "expected [2], got [1]"]),
        (
            [block(0, np.float32([1, np.nan]))],
            [
                "NONFINITE at blocks.0.output",
                "1 of 2 differ, up to 0 ULP",
                "1 of the mismatched elements are Inf or NaN on a side",
            ],
        ),
    ],
)
def test_verdicts_say_what_was_seen(taps: list[TapDiff], words: list[str]) -> None:
    lines = verdict_lines(Comparison({}, [column("ours", *judged(taps))]))
    assert [line.strip() for line in lines] == [f"ours  {words[0]}", *words[1:]]


def test_rounding_then_divergence_names_both_places() -> None:
    other = diff_arrays("a", ONE, TWO)
    assert other.metrics is not None
    as_good = Accuracy(0.1, 0.1, 1.0, 1.0, 5, 5)
    rounded = StageError(other.metrics, 0.5, 0.1, as_good)
    wrong = StageError(other.metrics, 0.5, 9.0, as_good)
    taps = [
        dataclasses.replace(block(i, TWO), stage=stage, accuracy=as_good)
        for i, stage in enumerate((rounded, wrong))
    ]
    head, *rest = verdict_lines(Comparison({}, [column("ours", *judged(taps))]))
    assert head == "ours  DIVERGED at blocks.1.output, bits differ from blocks.0.output"
    assert "made here: 1 of 2 differ" in " ".join(rest)
    assert "such errors are made at 2 taps: output" in " ".join(rest)
    assert "1.00 of the reference's error to the oracle" in " ".join(map(str.strip, rest))
    assert max(map(len, [head, *rest])) <= 80
    (only,) = [judged(taps[:1])]
    assert verdict_lines(Comparison({}, [column("ours", *only)]))[0] == (
        "ours  ROUNDING from blocks.0.output"
    )


def test_the_verified_fraction_is_told_for_each_column_where_they_differ() -> None:
    one, two = column("ours", block(0)), column("b", block(0), TapDiff("x", "missing", "why"))
    assert verified_line(Comparison({}, [one, one])) == "verified: 1 of 1 taps compared"
    assert verified_line(Comparison({}, [one, two])) == (
        "verified, taps compared: ours 1 of 1; b 1 of 2"
    )


def test_local_errors_and_gains_stand_beside_their_column() -> None:
    entering = diff_arrays("blocks.1.input", ONE, np.float32([1, 2.5]))
    taps = [dataclasses.replace(tap, local=tap.metrics) for tap in (entering, block(1, TWO))]
    lines = text_table(Comparison({}, [column("ours", *taps)])).splitlines()
    assert lines[0].split() == ["block", "elements", "ours", "local", "gain"]
    assert lines[1].split() == ["1", "2", "1", "1", "2.00"]
    header = csv_table(Comparison({}, [column("ours", *taps)])).splitlines()[0]
    assert header == "block,elements,ours,ours local,ours gain"


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
    assert summary(good).startswith("# Parity holds\n\nverified: 1 of 1 taps compared\n")
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
