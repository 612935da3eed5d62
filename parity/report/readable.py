"""A comparison that prints itself, writes itself to a folder, and shows itself in a notebook."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from parity.report.files import ReportFolder
from parity.report.inert import one_line
from parity.report.summary import in_short
from parity.report.text import headline, render, verdict
from parity.verdict.comparison import Comparison


@dataclass(frozen=True)
class ReadableComparison(Comparison):
    """A Comparison for whoever calls parity from Python.

    `print` shows the table and verdicts that `parity compare` prints; the last line of a notebook's
    cell is shown as in a report's summary.
    """

    @classmethod
    def of(cls, comparison: Comparison) -> ReadableComparison:
        """The same figures, readable."""
        fields = [field.name for field in dataclasses.fields(Comparison)]
        return cls(**{name: getattr(comparison, name) for name in fields})

    def __str__(self) -> str:
        return render(self, "table")

    def __repr__(self) -> str:
        ours = self.columns[0]
        return f"<{headline(self)}: {one_line(ours.name)} {one_line(verdict(ours))}>"

    def _repr_markdown_(self) -> str:
        return in_short(self)

    def write(self, folder: str | Path) -> Path:
        """Write the report: a page, a summary, pictures, and figures as JSON and CSV.

        Args:
          folder: is made, with its parents; an earlier report in it is replaced.

        Returns:
          The folder.

        Raises:
          RequestError: it holds something else, or can't be written.
        """
        place = Path(folder)
        with ReportFolder(place) as report:
            report.write(self)
        return place
