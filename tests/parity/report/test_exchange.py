"""Folders that change places at once, and that stay as they are where that can't be."""

import sys
from pathlib import Path

import pytest

from parity.report.exchange import exchanged


def folder(path: Path, name: str) -> Path:
    path.mkdir()
    (path / name).touch()
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="no such call elsewhere")
def test_two_folders_change_places_with_all_they_hold(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "é one", "new"), folder(tmp_path / "other", "old")
    assert exchanged(one, other)
    assert (one / "old").exists()
    assert (other / "new").exists()


def test_one_that_is_alone_stays_as_it_is(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "new")
    assert not exchanged(one, tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (one / "new").exists()


def test_another_system_has_no_such_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = folder(tmp_path / "one", "new"), folder(tmp_path / "other", "old")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not exchanged(one, other)
    assert (one / "new").exists()
