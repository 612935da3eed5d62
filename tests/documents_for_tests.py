"""The pages' printed outputs: where they are kept whole, how they are shortened, what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
KEPT = ROOT / "reports/readme"
# Of a table, the blocks that a page shows: the ends, and where the epsilon begins to tell.
_BLOCKS = {0, 6, 19}
_VERDICTS = re.compile(r"\S+ {2,}[A-Z_]{2,}\b")
# Under a verdict its reason, which may be folded, and what else is said at that depth.
_DETAILS = re.compile(r"^(( {6,})\S.*\n(?:\2 +.*\n)*)(?:\2\S.*\n(?:\2 +.*\n)*)+", re.MULTILINE)
# A reason that stood under the verdict before.
_REPEATED = re.compile(r"(\n {6,})(\S.*(?:\n {6,}\S.*)*)(\n\S.*)\1\2")
# An output on a page: the file that holds it whole, and its text.
OUTPUT = re.compile(r"<!-- (\S+) -->\n```text\n(.*?)```\n", re.DOTALL)


def page() -> str:
    """The README."""
    return README.read_text(encoding="utf-8")


def examples(word: str) -> str:
    """The README's one example in Python in which a word occurs."""
    codes = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    (code,) = (code for code in codes if word in code)
    return code


def command_output(*arguments: str, cwd: Path | None = None) -> str:
    """What a command of this environment prints, as on a terminal of 80 columns.

    The exit status may be 1: parity that does not hold, a statement that departs.
    """
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def shortened(text: str) -> str:
    """An output as a page shows it: a few rows of its first table, and the reasons of verdicts."""
    parts = text.rstrip("\n").split("\n\n")
    tables = [part for part in parts if part.lstrip().startswith("block ")]
    shown = []
    for part in parts:
        if part in tables:
            shown.append(_few_rows(part) if part is tables[0] else "...")
        elif _VERDICTS.match(part):
            brief = _DETAILS.sub(r"\1\2...\n", f"{part}\n").rstrip("\n")
            shown.append(_REPEATED.sub(r"\1\2\3\1...", brief))
        else:
            shown.append(part)
    return "\n\n".join(shown) + "\n"


def _few_rows(table: str) -> str:
    lines: list[str] = []
    for line in table.splitlines():
        if not _is_row(line) or int(line.split()[0]) in _BLOCKS:
            lines.append(line)
        elif lines[-1] != "...":
            lines.append("...")
    return "\n".join(lines)


def phrases(text: str) -> set[str]:
    """What an output says, whatever its figures, names and line breaks."""
    said: list[str] = []
    begun = -1
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if not line.strip() or line.startswith("block ") or _is_row(line) or line == "...":
            begun = -1
        elif begun >= 0 and indent == begun + 2:
            said[-1] += f" {line.strip()}"
        else:
            # Two spaces stand between a name and its verdict.
            said.append(re.split(r" {2,}", line.strip())[-1])
            begun = -1 if line.endswith(":") and not indent else indent
    found: set[str] = set()
    for each in said:
        # Lists of taps and blocks, and remarks in brackets, are of one model.
        each = re.sub(r" \(.*?\)|(?<= taps): .*|(?<=^seen at) .*", "", each)
        each = re.sub(r"\S*[\d=]\S*", "#", each)
        found |= set(re.sub(r"#( #)+", "#", each).split("; "))
    return found - {"#"}


def headings(text: str) -> set[str]:
    """The headings of an output's tables."""
    return {
        word for line in text.splitlines() if line.startswith("block ") for word in line.split()
    }


def _is_row(line: str) -> bool:
    """A row of a table: figures and nothing else, the first of them a block's number."""
    cells = line.split()
    return (
        len(cells) > 2
        and cells[0].isdecimal()
        and all(re.fullmatch(r"\d[\d.]*|-", cell) for cell in cells)
    )
