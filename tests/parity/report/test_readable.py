"""A comparison in Python: printed, written, shown in a notebook."""

import dataclasses
import os
from pathlib import Path

import pytest
from comparisons_for_tests import (
    HOSTILE,
    SCAN,
    SINGLE,
    by_block,
    other_comparison,
    small_comparison,
)

from parity.errors import RequestError
from parity.report.files import FILES
from parity.report.readable import ReadableComparison
from parity.report.table import csv_table
from parity.report.text import render


def test_it_is_the_comparison_that_it_was_made_of() -> None:
    plain = dataclasses.replace(small_comparison(), allow=frozenset({"rounding"}))
    found = ReadableComparison.of(plain)
    for field in dataclasses.fields(plain):
        assert getattr(found, field.name) is getattr(plain, field.name)
    assert found.rule is by_block
    assert found.holds
    assert isinstance(dataclasses.replace(found, notes=()), ReadableComparison)


def test_printed_it_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    comparison = other_comparison(SCAN)
    print(ReadableComparison.of(comparison))
    assert capsys.readouterr().out == render(comparison, "table", 80) + "\n"


def test_as_a_value_it_is_one_line() -> None:
    shown = repr(ReadableComparison.of(other_comparison(SINGLE, HOSTILE)))
    assert shown == ("<Parity does not hold: ours UNJUDGED at dropout, bits differ from features>")
    named = dataclasses.replace(other_comparison(SINGLE).columns[0], name="\x1b[2J\n")
    hostile = ReadableComparison({}, [named])
    assert repr(hostile).isprintable()


def test_a_notebook_shows_verdict_and_table() -> None:
    text = ReadableComparison.of(other_comparison(SCAN))._repr_markdown_()
    assert text.startswith("**Parity does not hold: ours UNJUDGED at layers\\[2\\].attn, bits")
    assert "\n| layers | elements | ours | other |\n" in text
    assert "To reproduce" not in text


def test_written_it_is_a_report(tmp_path: Path) -> None:
    comparison = ReadableComparison.of(other_comparison(SCAN))
    place = tmp_path / "deep" / "report"
    assert comparison.write(str(place)) == place
    assert set(os.listdir(place)) <= set(FILES)
    assert (place / "rows.csv").read_text() == csv_table(comparison)
    assert ReadableComparison.of(small_comparison()).write(place) == place  # instead of the first
    assert (place / "blocks.csv").exists()
    assert not (place / "rows.csv").exists()


def test_a_folder_with_other_content_is_refused_in_one_line_about_folders(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RequestError, match=r"holds other content .*name a new folder") as refused:
        ReadableComparison.of(other_comparison(SCAN)).write(tmp_path)
    assert "--" not in str(refused.value).replace(str(tmp_path), "")
    assert os.listdir(tmp_path) == ["notes.txt"]
