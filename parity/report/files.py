"""A report folder: figures as JSON and CSV, a page, a summary, and pictures.

The folder appears whole or not at all: it is written beside its place and renamed into it. A run
that is killed leaves what stood there, and the next run says how far that one came.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from parity.errors import RequestError
from parity.report.draft import Draft, clear_up
from parity.report.plots import PICTURES, draw_pictures
from parity.report.summary import summary
from parity.report.table import csv_table
from parity.report.text import json_text
from parity.verdict.comparison import Comparison

# All that a report may hold; a picture is there only where its figures are, and one of the two
# tables of rows.
FILES = (
    "comparison.json",
    "blocks.csv",
    "rows.csv",
    "taps.csv",
    "summary.md",
    "report.html",
    *(f"{name}.{ending}" for name in PICTURES for ending in ("png", "svg")),
)


def _nothing(message: str) -> None:
    del message


class Watch:
    """A progress callback that passes messages on, and notes in the draft how far the run is."""

    def __init__(self, draft: Draft, progress: Callable[[str], None]) -> None:
        self._draft = draft
        self._progress = progress

    def __call__(self, message: str) -> None:
        self._progress(message)
        self._draft.stage(message)

    def frames(self, done: int, expected: int) -> None:
        self._draft.frames(done, expected)


class ReportFolder:
    """Claims a place for a report before anything is computed; fills it at the end.

    A context manager. The place may not exist yet, be empty, or hold an earlier report, which
    stays whole until the new one replaces it.

    Args:
      say: is told of earlier runs beside this one that were killed.

    Raises:
      RequestError: the place holds something else, or can't be written.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = _nothing) -> None:
        self._folder = folder
        self._say = say
        self._draft: Draft | None = None
        self._made: list[Path] = []

    def __enter__(self) -> ReportFolder:
        try:
            clear_up(self._folder.parent, self._say)
            if self._folder.exists():
                foreign = sorted(set(os.listdir(self._folder)) - set(FILES))
                if foreign:
                    raise RequestError(
                        f"{self._folder} holds other content ({foreign[0]!r}); name a new folder"
                    )
            self._made = [p for p in self._folder.parents if not p.exists()]
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._draft = Draft(self._folder)
        except OSError as error:
            self._unmake()
            raise _unwritable(self._folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        assert self._draft is not None
        self._draft.close()
        self._unmake()

    def _unmake(self) -> None:
        for folder in self._made:  # innermost first; those that hold something stay
            with contextlib.suppress(OSError):
                folder.rmdir()

    def watching(self, progress: Callable[[str], None]) -> Watch:
        """The progress callback to run with, so that a run that is killed can be told of."""
        assert self._draft is not None
        return Watch(self._draft, progress)

    def write(self, comparison: Comparison) -> None:
        """Write every file and put the folder in its place.

        Raises:
          RequestError: the disk is full, or the place was taken meanwhile.
        """
        assert self._draft is not None
        try:
            write_files(comparison, self._draft.report, self._draft.stage)
            self._draft.put_in_place()
        except OSError as error:
            raise _unwritable(self._folder, error) from error


def write_files(
    comparison: Comparison, folder: Path, stage: Callable[[str], None] = _nothing
) -> None:
    """Every file of a report into an existing folder; `stage` is told of each before it begins."""
    from parity.report.page import write_page

    def write(name: str, text: Callable[[], str]) -> None:
        stage(f"writing {name}")
        # A name from the command line may hold bytes that were no text.
        (folder / name).write_text(text(), encoding="utf-8", errors="backslashreplace")

    with _uncollected():
        document = comparison.to_json()
        write("comparison.json", lambda: json_text(document) + "\n")
        write(_table_name(comparison), lambda: csv_table(comparison))
        write("taps.csv", lambda: comparison.to_frame().to_csv(index=False, lineterminator="\n"))
        stage("drawing pictures")
        pictures = draw_pictures(comparison, folder)
        write("summary.md", lambda: summary(comparison, pictures))
        write("report.html", lambda: write_page(comparison, document=document))


def _table_name(comparison: Comparison) -> str:
    """The table of rows has a name of its own where these are blocks."""
    return "blocks.csv" if comparison.grouping.noun == "block" else "rows.csv"


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, which would walk all of a large report again and again.

    A tenth of its time. What waits meanwhile are a few figures.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _unwritable(folder: Path, error: OSError) -> RequestError:
    reason = error.strerror or error
    return RequestError(f"can't write the report to {folder}: {reason}; name another folder")
