"""`python -m parity.explain`: the statement at which a model departs from its reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from parity.commands.arguments import (
    ABOUT,
    DIFFERS,
    HOLDS,
    Parser,
    Progress,
    paragraphs,
    run_command,
)
from parity.errors import RequestError
from parity.subjects.registry import chosen

if TYPE_CHECKING:
    from parity.explain import Explanation


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.explain", _command, arguments)


def _command(arguments: list[str]) -> int:
    subject, rest = chosen(arguments)
    parser = Parser(
        prog="python -m parity.explain",
        usage=f"python -m parity.explain {ABOUT}",
        description=paragraphs(
            f"{subject.help} Name the statement at which ours departs, what explains it, and "
            "write a script that shows it alone.",
            "Exit status: 0 nothing departs, 1 something does, 2 the request was wrong.",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subject.add_arguments(parser)
    subject.add_explain_arguments(parser)
    parser.add_argument(
        "--repro", metavar="FILE.py", help="write a script that shows the first departure alone"
    )
    parsed = parser.parse_args(rest)
    repro = None if parsed.repro is None else Path(parsed.repro)
    if repro is not None and (repro.suffix != ".py" or not repro.parent.is_dir()):
        raise RequestError(f"--repro must be a new .py file in an existing folder; got {repro}")
    progress = Progress()
    explanation = subject.explained(parsed)(progress)
    print(explanation)
    if repro is not None:
        _write_repro(explanation, repro, progress)
    return HOLDS if explanation.harmless else DIFFERS


def _write_repro(explanation: Explanation, path: Path, progress: Progress) -> None:
    """A script, or why there is none: what was found is told all the same."""
    from parity.explain.repro import UnwritableError, write_repro

    try:
        progress(f"wrote {write_repro(explanation, path)}")
    except UnwritableError as reason:
        progress(f"no script written: {reason}")
