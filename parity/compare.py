"""`python -m parity.compare`: jaxformer beside a reference, block by block."""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.cli import (
    DIFFERS,
    HOLDS,
    Parser,
    Progress,
    add_choice_arguments,
    parse_choice,
    run_command,
)
from parity.errors import RequestError
from parity.variants import DEFAULT_VARIANTS, OURS, Variant, check_names, parse_variant

if TYPE_CHECKING:
    from parity.comparison import Comparison
    from parity.inject import Scope
    from parity.run import Certificate
    from parity.sources.base import Source
    from parity.sources.setting import Setting
    from parity.sources.stored import StoredSource
    from parity.trace import Manifest

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

_SCOPES = ("blocks", "taps")
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
    if parsed.format not in _FORMATS:
        raise RequestError(f"--format must be one of {', '.join(_FORMATS)}; got {parsed.format!r}")
    if parsed.inject not in (None, *_SCOPES):
        raise RequestError(f"--inject must be one of {', '.join(_SCOPES)}; got {parsed.inject!r}")
    if parsed.inject and not choice.takes_block_inputs:
        raise RequestError("--inject needs the taps of block inputs; leave --taps at all")
    out = Path(parsed.out) if parsed.out else _fresh_folder()
    progress = Progress()

    from parity.report.files import ReportFolder
    from parity.sources.jaxformer import with_fields
    from parity.sources.setting import resolve

    stored = _stored(parsed.reference)
    setting = resolve(choice, stored.manifest if stored else None)
    for variant in variants:
        with_fields(setting.config, variant.fields)
    with ReportFolder(out) as report:
        comparison, certificates = compare(
            setting,
            [OURS, *variants],
            stored=stored,
            certify=parsed.certify,
            inject=parsed.inject,
            progress=progress,
        )
        report.write(comparison)
    progress(f"wrote {out}")
    print(_render(comparison, parsed.format))
    holds = comparison.holds and all(certificate.holds for certificate in certificates)
    return HOLDS if holds else DIFFERS


def compare(
    setting: Setting,
    variants: Sequence[Variant],
    *,
    stored: StoredSource | None = None,
    certify: bool = False,
    inject: Scope | None = None,
    progress: Callable[[str], None],
) -> tuple[Comparison, list[Certificate]]:
    """jaxformer under each variant against the official package, or against a stored trace.

    Args:
      variants: a column each; parity is that of the first.
      certify: prove for each side that runs that its taps changed nothing.
      inject: measure local errors too, on the reference's values at each block, or at each tap.

    Raises:
      RequestError: the runs can't be compared, or the official package is not usable.
    """
    from parity.comparison import Comparison
    from parity.diff import check_comparable
    from parity.run import (
        Candidate,
        certificate,
        compare_candidates,
        controlled_injection,
        recorded,
    )
    from parity.sources.blind_spots import blind_spots
    from parity.sources.setting import make_inputs

    if stored:
        check_comparable(stored.manifest, setting.manifest)
    else:
        from parity.sources.gemma_package import import_gemma

        progress("official package: importing")
        import_gemma()
    inputs = make_inputs(setting, progress)
    if stored:
        check_comparable(stored.manifest, inputs.manifest)
    reference: Source = stored or inputs.official()
    candidates = [
        Candidate(variant.name, variant.fields, functools.partial(inputs.ours, variant))
        for variant in variants
    ]
    with contextlib.ExitStack() as stack:
        trace = stack.enter_context(recorded(reference, progress))
        certificates = [certificate(reference, progress)] if certify else []
        reference.release()
        injection = None
        if inject is not None:
            controlled = controlled_injection(reference, trace, inject, progress)
            injection = stack.enter_context(controlled)
        columns, ours = compare_candidates(
            trace,
            reference.unavailable,
            candidates,
            certify=certify,
            inject=injection,
            progress=progress,
        )
    certificates.append(ours)
    proofs = [proof for proof in certificates if proof is not None]
    comparison = Comparison(
        manifest=_report_manifest(inputs.manifest, reference.manifest),
        columns=columns,
        environment=_environment_differences(inputs.manifest, reference.manifest),
        blind_spots=blind_spots(setting.config, setting.blocks, setting.tokens),
        notes=[str(proof) for proof in proofs],
    )
    return comparison, proofs


def _stored(reference: str) -> StoredSource | None:
    if reference == "flax":
        return None
    from parity.sources.stored import StoredSource
    from parity.storage import load_trace

    folder = Path(reference)
    if not folder.exists():
        raise RequestError(f"--reference must be flax or a trace folder; got {reference!r}")
    return StoredSource(load_trace(folder), label=str(folder))


def _report_manifest(ours: Manifest, reference: Manifest) -> dict[str, Any]:
    tokens = ours.tokens or []
    return {
        **{k: v for k, v in ours.to_json().items() if k != "source"},
        "versions": {**ours.versions, **reference.versions},
        "tokens_shape": [len(tokens), len(tokens[0])],
        "reference": reference.source,
    }


def _environment_differences(ours: Manifest, reference: Manifest) -> list[str]:
    def shown(manifest: Manifest, name: str) -> Any:
        value = getattr(manifest, name)
        if name == "versions":  # those that one side alone needs don't make a difference
            other = (ours if manifest is reference else reference).versions
            return {k: v for k, v in value.items() if k in other}
        return value

    return [
        f"{name} differ: reference {shown(reference, name)}, ours {shown(ours, name)}"
        for name in reference.environment_differences(ours)
        if shown(reference, name) != shown(ours, name)
    ]


def _render(comparison: Comparison, form: str) -> str:
    from parity.report import table

    if form == "json":
        return json.dumps(comparison.to_json(), indent=1, allow_nan=False)
    if form == "csv":
        return table.csv_table(comparison).rstrip("\n")
    body = table.markdown_table if form == "markdown" else table.text_table
    return "\n\n".join(
        filter(
            None,
            [
                "\n".join(f"environment: {line}" for line in comparison.environment),
                body(comparison),
                "\n".join(table.verdict_lines(comparison)),
                "\n".join(table.impact_lines(comparison)),
                "\n".join(table.blind_spot_lines(comparison)),
                "\n".join(comparison.notes),
            ],
        )
    )


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
        metavar="|".join(_SCOPES),
        help="also run each block (or each stage between taps) on the reference's own values: "
        "error made there, apart from error inherited",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="report folder (default: a fresh one in reports/runs)"
    )
    parser.add_argument("--format", default="table", help=f"{'|'.join(_FORMATS)} on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
