"""`python -m parity.compare`: a model beside a reference, row by row."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import shlex
import time
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
from parity.subjects.checks import integer, one_of
from parity.subjects.registry import chosen
from parity.subjects.subject import Subject

if TYPE_CHECKING:
    from parity.program.oracle import OracleDType

_DESCRIPTION = """\
It counts, block by block or tap by tap, the elements whose bits differ, and says of each \
difference where it is made and whether rounding explains it."""
_STATUS = "Exit status: 0 parity holds, 1 it does not, 2 the request was wrong."
_ELSE = """\

your own model: python -m parity.compare my_port.py:ours --help"""
_INJECT = ("auto", "none", "blocks", "taps", "both")
_ORACLES = ("auto", "none", "float32", "float64")
_FORMATS = ("table", "markdown", "csv", "json")
_EXPLAIN = ("auto", "always", "never")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.compare", _command, arguments)


def _command(arguments: list[str]) -> int:
    subject, rest = chosen(arguments)
    parsed = _parser(subject).parse_args(rest)
    one_of("--format", parsed.format, _FORMATS)
    one_of("--inject", parsed.inject, _INJECT)
    one_of("--oracle", parsed.oracle, _ORACLES)
    one_of("--explain", parsed.explain, _EXPLAIN)
    repeat = integer("--repeat", parsed.repeat, 0, 1000)
    out = Path(parsed.out) if parsed.out else _fresh_folder()
    progress = Progress()
    planned = subject.compared(parsed)

    from parity.explain.columns import with_causes
    from parity.report.console import show
    from parity.report.files import ReportFolder
    from parity.verdict.plan import Options
    from parity.verdict.runner import compare

    options = Options(
        certify=parsed.certify,
        inject=parsed.inject,
        oracle=_oracle(parsed.oracle),
        repeat=repeat,
    )
    with ReportFolder(out, say=progress) as report:
        watching = report.watching(progress)
        plan = planned(watching)
        if parsed.explain == "always" and not plan.explainers:
            raise RequestError(
                "--explain needs a reference with lines that runs here, and every tap; leave it out"
            )
        comparison, certificates = compare(plan, options, watching)
        comparison = with_causes(comparison, plan.explainers, parsed.explain, watching)
        command = shlex.join(["python", "-m", "parity.compare", *arguments])
        comparison = dataclasses.replace(
            comparison, manifest={**comparison.manifest, "command": command}
        )
        try:
            report.write(comparison)
            progress(f"wrote {out}")
        finally:  # what took minutes is not lost with a full disk
            show(comparison, parsed.format)
    holds = comparison.holds and all(certificate.holds for certificate in certificates)
    return HOLDS if holds else DIFFERS


def _oracle(word: str) -> OracleDType | None:
    words: dict[str, OracleDType | None] = {"none": None, "float32": "float32"}
    return words.get(word, "float64")


def _fresh_folder() -> Path:
    stem = time.strftime("%Y%m%d-%H%M%S")
    runs = Path("reports/runs")
    names = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
    return next(runs / name for name in names if not (runs / name).exists())


def _parser(subject: Subject) -> Parser:
    parser = Parser(
        prog="python -m parity.compare",
        usage=f"python -m parity.compare {ABOUT}",
        description=paragraphs(f"{subject.help} {_DESCRIPTION}", _STATUS),
        epilog=f"examples:\n{subject.examples}\n{_ELSE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subject.add_arguments(parser)
    subject.add_compare_arguments(parser)
    parser.add_argument(
        "--certify",
        action="store_true",
        help="prove that taps change nothing: run again without, compare outputs bit for bit",
    )
    parser.add_argument(
        "--inject",
        metavar="auto|none|blocks|taps|both",
        default="auto",
        help="also run each block, or each stage between taps, on the reference's values: error "
        "made there, apart from error inherited (auto: both, where a column differs)",
    )
    parser.add_argument(
        "--oracle",
        metavar="auto|none|float32|float64",
        default="auto",
        help="judge differences by the same formulas in a wider dtype (auto: float64; float32 is "
        "quicker and sees less)",
    )
    parser.add_argument(
        "--explain",
        metavar="auto|always|never",
        nargs="?",
        const="always",
        default="auto",
        help="name the statement that departs: of every column that differs (--explain), of ours "
        "where rounding doesn't explain it (auto, the default), or of none",
    )
    parser.add_argument(
        "--repeat",
        metavar="K",
        default="0",
        help="run each side K more times: the noise floor, 0 on a CPU",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="report folder (default: a fresh one in reports/runs)"
    )
    parser.add_argument("--format", default="table", help=f"{'|'.join(_FORMATS)} on stdout")
    return parser
