"""`python -m parity.studies`: run a case study and write what `reports/` keeps of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parity.commands.arguments import HOLDS, Parser, Progress, run_command
from parity.errors import RequestError

_DESCRIPTION = """\
Run a case study and write its files: figures.json, tables and pictures.

epsilon   an epsilon of 1e-5 in RMSNorm for 1e-6, in 20 blocks of Gemma 3 1B
einsum    the gating einsum in four formulations, by dtype and length, and why"""

STUDIES = ("epsilon", "einsum")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.studies", _command, arguments)


def _command(arguments: list[str]) -> int:
    parser = Parser(
        prog="python -m parity.studies",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", metavar="|".join(STUDIES))
    parser.add_argument("--reduced", action="store_true", help="a small one, in seconds")
    parser.add_argument(
        "--out", metavar="DIR", help="where to write (default: reports/STUDY, or reports/runs/…)"
    )
    parsed = parser.parse_args(arguments)
    if parsed.study not in STUDIES:
        raise RequestError(f"the study must be one of {', '.join(STUDIES)}; got {parsed.study!r}")
    kept = f"reports/runs/{parsed.study}-reduced" if parsed.reduced else f"reports/{parsed.study}"
    out = Path(parsed.out or kept)
    try:
        out.mkdir(parents=True, exist_ok=True)
        study = _epsilon if parsed.study == "epsilon" else _einsum
        study(out, parsed.reduced, Progress())
    except OSError as error:
        raise RequestError(f"can't write to {out}: {error.strerror}; name another --out") from error
    return HOLDS


def _epsilon(out: Path, reduced: bool, progress: Callable[[str], None]) -> None:
    from parity.subjects.gemma.studies import epsilon
    from parity.subjects.gemma.studies.machine import machine

    found = epsilon.run(epsilon.REDUCED if reduced else epsilon.FULL, out, progress)
    _write(out / "figures.json", _json({**found, "machine": machine()}))


def _einsum(out: Path, reduced: bool, progress: Callable[[str], None]) -> None:
    from parity.subjects.gemma.studies import einsum
    from parity.subjects.gemma.studies.einsum_files import csv_text, draw, summary_text
    from parity.subjects.gemma.studies.machine import machine

    plan = einsum.REDUCED if reduced else einsum.FULL
    rows = einsum.measure(plan, progress)
    found = {"model": plan.model, "rows": [dataclasses.asdict(row) for row in rows]}
    with tempfile.TemporaryDirectory(prefix=".einsum.", dir=out) as draft:
        draw(rows, Path(draft) / "einsum")
        for picture in Path(draft).iterdir():
            os.replace(picture, out / picture.name)
    _write(out / "einsum.csv", csv_text(rows))
    _write(out / "summary.md", summary_text(rows))
    _write(out / "figures.json", _json({**found, "machine": machine()}))
    print(summary_text(rows), end="")


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
