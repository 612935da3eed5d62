"""Gemma as a subject of the commands: its arguments, and what they ask for.

Imported by `--help`, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxformer.errors import UsageError
from parity.errors import RequestError
from parity.subjects.gemma.arguments import Choice, add_choice_arguments, parse_choice
from parity.subjects.variants import OURS, Variant, check_names, parse_variant

if TYPE_CHECKING:
    from parity.explain.explanation import Explanation
    from parity.sides.side import Side
    from parity.subjects.gemma.references import Reference, ReferenceName
    from parity.verdict.plan import Plan

Progress = Callable[[str], None]

DEFAULT_VARIANTS: tuple[Variant, ...] = (
    Variant("eps=1e-5", {"rms_norm_eps": 1e-5}),
    Variant("gating=split", {"gating": "split"}),
    Variant("gating=stacked", {"gating": "stacked"}),
)
INSTALL = "pip install -c constraints.txt -e '.[gemma]'"
_NAMED: dict[str, list[ReferenceName]] = {
    "flax": ["flax"],
    "hf": ["hf"],
    "flax,hf": ["flax", "hf"],
}
_SIDES = ("jaxformer", "flax", "hf")
_VARIANT = "NAME:field=value,…"


class GemmaSubject:
    """jaxformer against the official package, transformers, or a stored trace."""

    help = (
        "Run jaxformer, a from-scratch Gemma 3, beside a reference on the same weights and tokens."
    )
    examples = """\
  python -m parity.compare --blocks 20
  python -m parity.compare --model gemma3-270m --dtype float32 --certify
  python -m parity.compare --seq-len 700 --taps 'blocks.5.*'
  python -m parity.compare --variant 'f32 norm:norm_dtype=float32' --no-variants
  python -m parity.record --source flax --out golden      # on one machine
  python -m parity.compare --reference golden             # on another
  python -m parity.compare --weights gemma-3-1b-it --prompt 'Is the sky blue?'
  python -m parity.compare --reference flax,hf --dtype float32
  python -m parity.compare --cached --blocks 8"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_choice_arguments(parser)

    def add_compare_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--reference",
            metavar="flax|hf|flax,hf|DIR",
            default="flax",
            help="the official package (default), transformers on torch, both, or a trace "
            "recorded by parity.record",
        )
        parser.add_argument(
            "--cached",
            action="store_true",
            help="hold decoding with the cache, token by token, against the same model without",
        )
        parser.add_argument(
            "--variant",
            metavar=_VARIANT,
            action="append",
            default=[],
            help="one more column, with these numerics fields; may be repeated",
        )
        parser.add_argument("--no-variants", action="store_true", help="leave out the default ones")
        parser.add_argument(
            "--check-weights",
            action="store_true",
            help="first compare both sides' parameter trees: names, shapes, dtypes, bits",
        )

    def add_record_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--source", default=_SIDES[0], metavar="|".join(_SIDES), help="what to record"
        )

    def add_explain_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--variant", metavar=_VARIANT, help="explain jaxformer with these numerics"
        )

    def compared(self, parsed: argparse.Namespace) -> Callable[[Progress], Plan]:
        """See Subject: the references are opened and the numerics checked, no weights made."""
        choice = _choice(parsed)
        plain = parsed.no_variants or parsed.cached
        default = () if plain else _default_variants(parsed.reference)
        variants = [*default, *map(parse_variant, parsed.variant)]
        check_names(variants)
        if parsed.inject in ("blocks", "taps", "both") and choice.taps != "*":
            raise RequestError("--inject needs the taps of block inputs; leave --taps at all")
        with plainly():
            from parity.subjects.gemma.comparison import comparison_plan
            from parity.subjects.gemma.ours import with_fields
            from parity.subjects.gemma.setting import resolve

            references = _references(parsed.reference, cached=parsed.cached)
            setting = resolve(choice, _stored_manifest(references[0]))
            if references[0] == "hf" and choice.numerics == "default":
                raise RequestError(
                    "--reference hf rounds as --numerics strict does; leave --numerics out"
                )
            for variant in variants:
                with_fields(setting.config, variant.fields)

        def plan(progress: Progress) -> Plan:
            with plainly():
                return comparison_plan(
                    setting,
                    [OURS, *variants],
                    references,
                    check_weights=parsed.check_weights,
                    certify=parsed.certify,
                    progress=progress,
                )

        return plan

    def recorded(
        self, parsed: argparse.Namespace
    ) -> Callable[[Progress], contextlib.AbstractContextManager[Side]]:
        """See Subject."""
        choice = _choice(parsed)
        if parsed.source not in _SIDES:
            raise RequestError(
                f"--source must be one of {', '.join(_SIDES)}; got {parsed.source!r}"
            )
        with plainly():
            from parity.subjects.gemma.setting import resolve

            setting = resolve(choice)

        @contextlib.contextmanager
        def side(progress: Progress) -> Iterator[Side]:
            with plainly():
                from parity.subjects.gemma.inputs import make_inputs
                from parity.subjects.gemma.references import opened

                if parsed.source == "flax":
                    from parity.subjects.gemma.gemma_package import import_gemma

                    progress("official package: importing")
                    import_gemma()
                inputs = make_inputs(setting, progress)
                if parsed.source == "jaxformer":
                    yield inputs.ours()
                    return
                with opened(parsed.source, inputs, certify=False, progress=progress) as other:
                    yield other

        return side

    def explained(self, parsed: argparse.Namespace) -> Callable[[Progress], Explanation]:
        """See Subject."""
        choice = _choice(parsed)
        variant = OURS if parsed.variant is None else parse_variant(parsed.variant)
        if choice.taps != "*":
            raise RequestError("explain needs every tap; leave --taps out")
        with plainly():
            from parity.subjects.gemma.ours import with_fields
            from parity.subjects.gemma.setting import resolve

            setting = resolve(choice)
            with_fields(setting.config, variant.fields)

        def explanation(progress: Progress) -> Explanation:
            with plainly():
                from parity.subjects.gemma.explaining import explain_variant
                from parity.subjects.gemma.gemma_package import import_gemma
                from parity.subjects.gemma.inputs import make_inputs

                progress("official package: importing")
                import_gemma()
                return explain_variant(make_inputs(setting, progress), variant, progress)

        return explanation


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """What a user did wrong in jaxformer, or did not install, as a request that can't be met."""
    try:
        yield
    except UsageError as error:
        raise RequestError(str(error)) from error
    except ModuleNotFoundError as error:
        raise RequestError(
            f"Gemma needs packages that are not here ({error}): {INSTALL}"
        ) from error


def _choice(parsed: argparse.Namespace) -> Choice:
    with plainly():
        return parse_choice(parsed)


def _default_variants(reference: str) -> Sequence[Variant]:
    if reference != "hf":
        return DEFAULT_VARIANTS
    with plainly():
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
    from parity.sides.stored import StoredSide
    from parity.trace.disk import load_trace

    folder = Path(text)
    if not folder.exists():
        named = ", ".join(_NAMED)
        raise RequestError(f"--reference must be {named} or a trace folder; got {text!r}")
    return [StoredSide(load_trace(folder), label=str(folder))]


def _stored_manifest(reference: Reference):  # type: ignore[no-untyped-def]
    """Of a stored trace, to fill in what was not said."""
    return None if isinstance(reference, str) else reference.manifest
