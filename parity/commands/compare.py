"""`python -m parity.compare`: jaxformer beside a reference, block by block."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parity.commands.arguments import (
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
from parity.verdict.variants import DEFAULT_VARIANTS, OURS, Variant, check_names, parse_variant

if TYPE_CHECKING:
    from parity.program.oracle import OracleDType
    from parity.subjects.gemma.references import Reference, ReferenceName

_DESCRIPTION = """\
Run jaxformer beside a reference on the same weights and tokens, and count,
block by block, the elements of the residual stream whose bits differ: for
jaxformer as it is, and for variants of its numerics.
Exit status: 0 parity holds, 1 it does not, 2 the request was wrong."""

_EPILOG = """\
examples:
  python -m parity.compare --blocks 20
  python -m parity.compare --model gemma3-270m --dtype float32 --certify
  python -m parity.compare --seq-len 700 --taps 'blocks.5.*'
  python -m parity.compare --variant 'f32 norm:norm_dtype=float32' --no-variants
  python -m parity.record --source flax --out golden      # on one machine
  python -m parity.compare --reference golden             # on another
  python -m parity.compare --weights gemma-3-1b-it --prompt 'Is the sky blue?'
  python -m parity.compare --reference flax,hf --dtype float32
  python -m parity.compare --cached --blocks 8"""

_NAMED: dict[str, list[ReferenceName]] = {
    "flax": ["flax"],
    "hf": ["hf"],
    "flax,hf": ["flax", "hf"],
}
_INJECT = ("auto", "none", "blocks", "taps", "both")
_ORACLES = ("auto", "none", "float32", "float64")
_FORMATS = ("table", "markdown", "csv", "json")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.compare", _command, arguments)


def _command(arguments: list[str]) -> int:
    parsed = _parser().parse_args(arguments)
    choice = parse_choice(parsed)
    plain = parsed.no_variants or parsed.cached
    default = () if plain else _default_variants(parsed.reference)
    variants = [*default, *map(parse_variant, parsed.variant)]
    check_names(variants)
    one_of("--format", parsed.format, _FORMATS)
    one_of("--inject", parsed.inject, _INJECT)
    one_of("--oracle", parsed.oracle, _ORACLES)
    repeat = integer("--repeat", parsed.repeat, 0, 1000)
    if parsed.inject in ("blocks", "taps", "both") and choice.taps != "*":
        raise RequestError("--inject needs the taps of block inputs; leave --taps at all")
    out = Path(parsed.out) if parsed.out else _fresh_folder()
    progress = Progress()

    from parity.report.console import show
    from parity.report.files import ReportFolder
    from parity.sides.stored import StoredSource
    from parity.subjects.gemma.comparing import compare
    from parity.subjects.gemma.ours import with_fields
    from parity.subjects.gemma.setting import resolve
    from parity.verdict.holding import Options

    references = _references(parsed.reference, cached=parsed.cached)
    stored = references[0] if isinstance(references[0], StoredSource) else None
    setting = resolve(choice, stored.manifest if stored else None)
    if references[0] == "hf" and choice.numerics == "default":
        raise RequestError("--reference hf rounds as --numerics strict does; leave --numerics out")
    for variant in variants:
        with_fields(setting.config, variant.fields)
    options = Options(
        certify=parsed.certify,
        inject=parsed.inject,
        oracle=_oracle(parsed.oracle),
        repeat=repeat,
        check_weights=parsed.check_weights,
    )
    with ReportFolder(out, say=progress) as report:
        comparison, certificates = compare(
            setting,
            [OURS, *variants],
            references=references,
            options=options,
            progress=report.watching(progress),
        )
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


def _default_variants(reference: str) -> Sequence[Variant]:
    if reference != "hf":
        return DEFAULT_VARIANTS
    from parity.subjects.gemma.references import profile_variant

    return [profile_variant("official")]


def _references(text: str, *, cached: bool) -> Sequence[Reference]:
    """What to hold against.

    Raises:
      RequestError: no such reference.
    """
    if cached:
        if text != "flax":
            raise RequestError("--cached is held against the uncached run; leave --reference out")
        return ["uncached"]
    if text in _NAMED:
        return _NAMED[text]
    from parity.sides.stored import StoredSource
    from parity.trace.disk import load_trace

    folder = Path(text)
    if not folder.exists():
        named = ", ".join(_NAMED)
        raise RequestError(f"--reference must be {named} or a trace folder; got {text!r}")
    return [StoredSource(load_trace(folder), label=str(folder))]


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
        metavar="flax|hf|flax,hf|DIR",
        default="flax",
        help="the official package (default), transformers on torch, both, or a trace recorded by "
        "parity.trace.recorder",
    )
    parser.add_argument(
        "--cached",
        action="store_true",
        help="hold decoding with the cache, token by token, against the same model without",
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
        help="judge differences by the same formulas in a wider dtype (auto: float64; float32 is "
        "quicker and sees less)",
    )
    parser.add_argument(
        "--repeat",
        metavar="K",
        default="0",
        help="run each side K more times: the noise floor, 0 on a CPU",
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
