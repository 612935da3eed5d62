"""`python -m parity.compare`: jaxformer beside a reference, block by block."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from parity.cli import (
    DIFFERS,
    HOLDS,
    Parser,
    Progress,
    add_choice_arguments,
    integer,
    one_of,
    parse_choice,
    run_command,
)
from parity.errors import RequestError
from parity.variants import DEFAULT_VARIANTS, OURS, check_names, parse_variant

if TYPE_CHECKING:
    from parity.oracle import OracleDType
    from parity.sources.stored import StoredSource

_DESCRIPTION = """\
Run jaxformer beside a reference on the same weights and tokens, and count, block by block, the
elements of the residual stream whose bits differ: for jaxformer as it is, and for variants of its
numerics. Exit status: 0 parity holds, 1 it does not, 2 the request was wrong."""

_EPILOG = """\
examples:
  python -m parity.compare --blocks 20
  python -m parity.compare --model gemma3-270m --dtype float32 --certify
  python -m parity.compare --seq-len 64 --variant 'f32 norm:norm_dtype=float32'
  python -m parity.record --out golden
  python -m parity.compare --reference golden"""

_INJECT = ("auto", "none", "blocks", "taps", "both")
_ORACLES = ("auto", "none", "float32", "float64")
_FORMATS = ("table", "markdown", "csv", "json")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.compare", _command, arguments)


def _command(arguments: list[str]) -> int:
    parsed = _parser().parse_args(arguments)
    choice = parse_choice(parsed)
    variants = [] if parsed.no_variants else list(DEFAULT_VARIANTS)
    variants += [parse_variant(text) for text in parsed.variant]
    check_names(variants)
    one_of("--format", parsed.format, _FORMATS)
    one_of("--inject", parsed.inject, _INJECT)
    one_of("--oracle", parsed.oracle, _ORACLES)
    repeat = integer("--repeat", parsed.repeat, 0, 1000)
    if parsed.inject in ("blocks", "taps", "both") and choice.taps != "*":
        raise RequestError("--inject needs the taps of block inputs; leave --taps at all")
    out = Path(parsed.out) if parsed.out else _fresh_folder()
    progress = Progress()

    from parity.comparing import Options, compare
    from parity.report.files import ReportFolder
    from parity.report.text import render
    from parity.sources.jaxformer import with_fields
    from parity.sources.setting import resolve

    stored = _stored(parsed.reference)
    setting = resolve(choice, stored.manifest if stored else None)
    for variant in variants:
        with_fields(setting.config, variant.fields)
    options = Options(
        certify=parsed.certify,
        inject=parsed.inject,
        oracle=_oracle(parsed.oracle),
        repeat=repeat,
        check_weights=parsed.check_weights,
    )
    with ReportFolder(out) as report:
        comparison, certificates = compare(
            setting, [OURS, *variants], stored=stored, options=options, progress=progress
        )
        report.write(comparison)
    progress(f"wrote {out}")
    print(render(comparison, parsed.format))
    holds = comparison.holds and all(certificate.holds for certificate in certificates)
    return HOLDS if holds else DIFFERS


def _stored(reference: str) -> StoredSource | None:
    if reference == "flax":
        return None
    from parity.sources.stored import StoredSource
    from parity.storage import load_trace

    folder = Path(reference)
    if not folder.exists():
        raise RequestError(f"--reference must be flax or a trace folder; got {reference!r}")
    return StoredSource(load_trace(folder), label=str(folder))


def _oracle(word: str) -> OracleDType | None:
    words: dict[str, OracleDType | None] = {"none": None, "float32": "float32"}
    return words.get(word, "float64")


def _fresh_folder() -> Path:
    stem = time.strftime("%Y%m%d-%H%M%S")
    runs = Path("reports/runs")
    names = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
    return next(runs / name for name in names if not (runs / name).exists())


def _parser() -> Parser:
    parser = Parser(
        prog="python -m parity.compare",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_choice_arguments(parser)
    parser.add_argument(
        "--reference",
        metavar="flax|DIR",
        default="flax",
        help="the official package (default), or a trace recorded by parity.record",
    )
    parser.add_argument(
        "--variant",
        metavar="NAME:field=value,…",
        action="append",
        default=[],
        help="one more column, with these numerics fields; may be repeated",
    )
    parser.add_argument("--no-variants", action="store_true", help="leave out the default ones")
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
        help="judge differences by the same formulas in a wider dtype (auto: float64)",
    )
    parser.add_argument(
        "--repeat",
        metavar="K",
        default="0",
        help="run each side K more times: the noise floor",
    )
    parser.add_argument(
        "--check-weights",
        action="store_true",
        help="first compare both sides' parameter trees: names, shapes, dtypes, bits",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="report folder (default: a fresh one in reports/runs)"
    )
    parser.add_argument("--format", default="table", help=f"{'|'.join(_FORMATS)} on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
