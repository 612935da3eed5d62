"""A report folder: `comparison.json`, `blocks.csv`, `taps.csv`, `summary.md`, `divergence.png`.

The folder appears whole or not at all: it is written beside its place and renamed into it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from parity.comparison import Comparison
from parity.errors import RequestError
from parity.report.table import csv_table, markdown_table
from parity.report.text import verdict_lines, verified_line

FILES = ("comparison.json", "blocks.csv", "taps.csv", "summary.md", "divergence.png")


class ReportFolder:
    """Claims a place for a report before anything is computed; fills it at the end.

    A context manager. The place may not exist yet, be empty, or hold an earlier report, which
    stays whole until the new one replaces it.

    Raises:
      RequestError: the place holds something else, or can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._draft: Path | None = None
        self._made: list[Path] = []

    def __enter__(self) -> ReportFolder:
        try:
            if self._folder.exists():
                foreign = sorted(set(os.listdir(self._folder)) - set(FILES))
                if foreign:
                    raise RequestError(
                        f"--out {self._folder} holds other content ({foreign[0]!r}); "
                        "name a new folder"
                    )
            self._made = [p for p in self._folder.parents if not p.exists()]
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._draft = Path(
                tempfile.mkdtemp(prefix=f".{self._folder.name}.", dir=self._folder.parent)
            )
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self._draft is None:
            return
        shutil.rmtree(self._draft, ignore_errors=True)
        for folder in self._made:  # innermost first; another run may have put something there
            with contextlib.suppress(OSError):
                folder.rmdir()

    def write(self, comparison: Comparison) -> None:
        """Write every file and put the folder in its place.

        Raises:
          RequestError: the disk is full, or the place was taken meanwhile.
        """
        assert self._draft is not None
        try:
            write_files(comparison, self._draft)
            # mkdtemp keeps others out; a report is for whoever may read its parent.
            self._draft.chmod(0o777 & ~_umask())
            self._swap(self._draft)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        self._draft = None

    def _swap(self, draft: Path) -> None:
        if not self._folder.exists():
            draft.rename(self._folder)
            return
        earlier = draft.with_name(f"{draft.name}.earlier")
        self._folder.rename(earlier)
        draft.rename(self._folder)
        shutil.rmtree(earlier)


def write_files(comparison: Comparison, folder: Path) -> None:
    """Every file of a report into an existing folder."""
    from parity.report.plot import draw_divergence

    document = json.dumps(comparison.to_json(), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    (folder / "blocks.csv").write_text(csv_table(comparison), encoding="utf-8")
    comparison.to_frame().to_csv(folder / "taps.csv", index=False, lineterminator="\n")
    (folder / "summary.md").write_text(summary(comparison), encoding="utf-8")
    draw_divergence(comparison, folder / "divergence.png")


def summary(comparison: Comparison) -> str:
    """The comparison as a page of Markdown: verdict, what was run, the table."""
    manifest = comparison.manifest
    verdict = "Parity holds" if comparison.holds else "Parity does not hold"
    if not comparison.exact:
        verdict += ", up to rounding"
    facts = ("model", "blocks", "dtype", "tokens_shape", "numerics", "weights", "reference")
    versions = ", ".join(f"{name} {v}" for name, v in manifest.get("versions", {}).items())
    lines = [
        f"# {verdict}",
        "",
        verified_line(comparison),
        "",
        "```text",
        *verdict_lines(comparison),
        "```",
        "",
        *(f"- {name}: {manifest.get(name)}" for name in facts),
        f"- versions: {versions}",
        *(f"- differs between the sides: {line}" for line in comparison.environment),
        *(f"- not seen by this run: {line}" for line in comparison.blind_spots),
        *(f"- {line}" for line in comparison.notes),
        "",
        "Mismatched elements of the residual stream, block by block:",
        "",
        markdown_table(comparison),
        "",
    ]
    return "\n".join(lines)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(folder: Path, error: OSError) -> RequestError:
    return RequestError(f"can't write the report to {folder}: {error.strerror}; name another --out")
