"""Tables and files: widths, escapes, and what is shown where nothing was compared."""

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from comparisons_for_tests import by_block

from parity.arrays.accuracy import Accuracy
from parity.explain.location import Location
from parity.report.files import ReportFolder
from parity.report.inert import code, code_block, escaped, one_line
from parity.report.plots import Pictures
from parity.report.summary import summary
from parity.report.table import csv_table, markdown_table, text_table
from parity.report.text import render, verdict_lines, verified_line
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.verdict.status import UNEXAMINED, judged
from parity.verdict.taps import StageError, TapDiff

ONE, TWO = np.float32([1, 2]), np.float32([1, 3])


def column(name: str, *taps: TapDiff) -> Column:
    return Column(name, {}, taps)


def block(i: int, other: np.ndarray = ONE) -> TapDiff:
    return diff_arrays(f"blocks.{i}.output", other, ONE)


def test_the_table_is_aligned_with_a_row_per_block() -> None:
    columns = [column("ours", *map(block, range(11))), column("eps", block(0, TWO))]
    comparison = Comparison({}, columns, rule=by_block)
    lines = text_table(comparison).splitlines()
    assert lines[0] == "block  elements  ours  eps"
    assert lines[1] == "    0         2     0    1"
    assert lines[11] == "   10         2     0    -"
    assert len({len(line) for line in lines}) == 1


def test_a_wide_table_is_folded_at_80_columns() -> None:
    columns = [column(f"a rather long variant name {i}", block(0)) for i in range(6)]
    text = text_table(Comparison({}, columns, rule=by_block))
    assert max(map(len, text.splitlines())) <= 80
    parts = text.split("\n\n")
    assert len(parts) == 3
    assert all(part.startswith("block  elements") for part in parts)
    assert all(f"name {i}" in text for i in range(6))


def test_logits_have_a_row_of_their_own() -> None:
    logits = diff_arrays("logits", ONE, ONE)
    columns = [column("ours", diff_arrays("embed", ONE, ONE), block(0), logits)]
    lines = text_table(Comparison({}, columns, rule=by_block)).splitlines()
    assert lines[1:] == ["     0         2     0", "logits         2     0"]


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
                "UNJUDGED at blocks.1.output",
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
    lines = verdict_lines(Comparison({}, [column("ours", *judged(taps))]), 200)
    assert [line.strip() for line in lines] == [f"ours  {words[0]}", *words[1:]]


def test_rounding_then_divergence_names_both_places() -> None:
    other = diff_arrays("a", TWO, ONE)
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
    before = block(0, np.float32([1, 2.5]))
    entering = diff_arrays("blocks.1.input", np.float32([1, 2.5]), ONE)
    taps = [dataclasses.replace(t, local=t.metrics) for t in (before, entering, block(1, TWO))]
    comparison = Comparison({}, [column("ours", *taps)], rule=by_block)
    lines = text_table(comparison).splitlines()
    assert lines[0].split() == ["block", "elements", "ours", "local", "gain"]
    assert lines[2].split() == ["1", "2", "1", "1", "2.00"]
    header = csv_table(comparison).splitlines()[0]
    assert header == "block,elements,ours,ours local,ours gain"


def test_a_long_name_does_not_make_a_line_longer_than_the_width() -> None:
    taps = [dataclasses.replace(block(i, TWO), local=block(i, TWO).metrics) for i in range(2)]
    names = ["ours", "a name that has no end " * 6, "short"]
    comparison = Comparison({}, [column(name, *judged(taps)) for name in names])
    for width in (80, 60, 44):
        lines = render(comparison, "table", width).splitlines()
        # A name is whole where its verdict stands, on a line of its own.
        assert [line for line in lines if len(line) > width] == [names[1].strip()]


def test_wide_characters_keep_the_table_aligned() -> None:
    lines = text_table(Comparison({}, [column("日本", block(0))], rule=by_block)).splitlines()
    assert lines == ["block  elements  日本", "    0         2     0"]


HOSTILE = "a|<script>alert(1)</script>\nb`*c*`[d](e)$x_1$ @f\x1b[2J"


def test_names_are_data_in_markdown_and_csv() -> None:
    comparison = Comparison({}, [column(HOSTILE, diff_arrays(HOSTILE, TWO, ONE))])
    markdown = markdown_table(comparison)
    assert "<script>" not in markdown
    assert len(markdown.splitlines()) == 3
    assert all(line.replace("\\|", "").count("|") == 4 for line in markdown.splitlines())
    rows = list(csv.reader(io.StringIO(csv_table(comparison))))
    assert rows[0] == ["tap", "elements", HOSTILE]
    assert rows[1] == [HOSTILE, "2", "1"]


def test_names_are_data_on_a_terminal() -> None:
    tap = diff_arrays(HOSTILE, TWO, ONE)
    comparison = Comparison(
        {}, [column(HOSTILE, tap)], environment=[HOSTILE], blind_spots=[HOSTILE], notes=[HOSTILE]
    )
    text = render(comparison, "table")
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    ("name", "markdown"),
    [
        ("blocks.0.attn.query_norm", "blocks.0.attn.query_norm"),
        ("eps=1e-5", "eps=1e-5"),
        ("_a_ *b* `c`", "\\_a\\_ \\*b\\* \\`c\\`"),
        ("<b> & $x$ [y](z) ~w~", "\\<b\\> \\& \\$x\\$ \\[y\\](z) \\~w\\~"),
        ("a|b\\", "a\\|b\\\\"),
        ("@you", "@\N{WORD JOINER}you"),
    ],
)
def test_markdown_shows_a_name_as_it_is(name: str, markdown: str) -> None:
    assert escaped(name) == markdown


def test_code_outlives_backticks() -> None:
    assert code("a`b``c") == "```a`b``c```"
    assert code("`a`") == "`` `a` ``"
    assert code_block(["```", "x"], "text") == ["````text", "```", "x", "````"]
    assert one_line("a\n\tb\x07\u202e") == "a b\\x07\\u202e"


def test_the_summary_starts_with_the_verdict() -> None:
    good = Comparison({"model": "m|1", "command": "python -m x 'a b'"}, [column("ours", block(0))])
    bad = Comparison({}, [column("ours", *judged([block(0, TWO)]))])
    near = dataclasses.replace(good, allow=frozenset({"rounding"}))
    assert summary(good).startswith(
        "**Parity holds: ours IDENTICAL**\n\nverified: 1 of 1 taps compared\n\nrun: `m|1`\n"
    )
    assert summary(bad).startswith(
        "**Parity is not decided: ours UNJUDGED at blocks.0.output**\n\nverified: 1 of 1"
    )
    assert summary(near).startswith("**Parity holds, up to rounding: ours")
    assert "\nTo reproduce:\n\n```sh\npython -m x 'a b'\n```\n" in summary(good)
    assert "reproduce" not in summary(bad)


def test_the_summary_names_its_pictures_and_what_was_left_out() -> None:
    comparison = Comparison({}, [column("ours", block(0))], rule=by_block)
    text = summary(comparison, Pictures(("divergence", "ulp"), {"tokens": "no | tokens"}))
    assert "![Divergence by block](divergence.png)" in text
    assert "Also drawn: [Elements by ULP distance](ulp.png)." in text
    assert "Not drawn: Differences by token: no \\| tokens." in text


@pytest.mark.parametrize(("blocks", "folded"), [(30, False), (31, True)])
def test_a_table_of_more_than_30_rows_is_folded(blocks: int, folded: bool) -> None:
    columns = [column("ours", *map(block, range(blocks)))]
    text = summary(Comparison({}, columns, rule=by_block))
    assert ("\n<details>\n<summary>" in text) == folded
    # Without free lines around it GitHub shows a table inside HTML as text.
    assert (f"{blocks} rows</summary>\n\n| block |" in text) == folded
    assert ("|\n\n</details>\n" in text) == folded


def test_what_differs_between_the_sides_stands_before_the_figures() -> None:
    comparison = Comparison({}, [column("ours", block(0))], environment=["device differ: a, b"])
    text = summary(comparison)
    assert text.index("- device differ: a, b") < text.index("```text") < text.index("| blocks |")


def test_a_folder_given_up_leaves_no_parents(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ReportFolder(tmp_path / "a" / "b" / "c"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_named_from_its_package_on(tmp_path: Path) -> None:
    """Not by the folder that it was checked out into; a lone file by the folders around it."""
    deep = tmp_path / "clone" / "ours" / "a" / "b"
    deep.mkdir(parents=True)
    for folder in (deep, *list(deep.parents)[:2]):
        (folder / "__init__.py").touch()
    places = {
        tmp_path / "clone/ours/layers.py": "ours/layers.py:7",
        deep / "layers.py": "a/b/layers.py:7",
        Path("/a/x/work/model.py"): "x/work/model.py:7",
    }
    assert {path: str(Location(str(path), 7)) for path in places} == places
