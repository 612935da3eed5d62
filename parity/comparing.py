"""One comparison from a setting to a Comparison: what `python -m parity.compare` does."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.comparison import Column, Comparison
from parity.diff import check_comparable
from parity.errors import RequestError
from parity.evidence import Evidence
from parity.noise import TIMED_KERNELS, floor_here, floor_in_processes, floor_line, widest
from parity.oracle import OracleDType
from parity.run import Candidate, Certificate, certificate, compare_candidate, recorded
from parity.sources.base import FunctionSource, Source
from parity.sources.blind_spots import blind_spots
from parity.sources.setting import Inputs, Setting, arguments_of, make_inputs
from parity.sources.stored import StoredSource
from parity.stages import Scope
from parity.trace import Manifest, Trace
from parity.variants import Variant
from parity.weights import WeightCheck, check_weights

Inject = Literal["auto", "none", "blocks", "taps", "both"]
_SCOPES: dict[Inject, tuple[Scope, ...]] = {
    "auto": ("blocks", "taps"),
    "none": (),
    "blocks": ("blocks",),
    "taps": ("taps",),
    "both": ("blocks", "taps"),
}


@dataclass(frozen=True)
class Options:
    """How closely to look.

    Attributes:
      certify: prove for each side that runs that its taps changed nothing.
      inject: measure local errors in blocks, between taps, or both; `auto`: both, for columns that
        differ somewhere.
      oracle: dtype of the oracle; None for none.
      repeat: how often each side is run again for the noise floor.
      check_weights: compare parameter trees before anything runs.
    """

    certify: bool = False
    inject: Inject = "auto"
    oracle: OracleDType | None = "float64"
    repeat: int = 0
    check_weights: bool = False


def compare(
    setting: Setting,
    variants: Sequence[Variant],
    *,
    stored: StoredSource | None = None,
    options: Options | None = None,
    progress: Callable[[str], None],
) -> tuple[Comparison, list[Certificate]]:
    """jaxformer under each variant against the official package, or against a stored trace.

    Args:
      variants: a column each; parity is that of the first.

    Raises:
      RequestError: the runs can't be compared, the weights don't fit, or the official package is
        not usable.
    """
    options = Options() if options is None else options
    if stored:
        check_comparable(stored.manifest, setting.manifest)
    else:
        from parity.sources.gemma_package import import_gemma

        progress("official package: importing")
        import_gemma()
    inputs = make_inputs(setting, progress)
    if stored:
        check_comparable(stored.manifest, inputs.manifest)
    notes: list[str] = []
    if options.check_weights:
        # What is given to the package are our own arrays, and a trace is refused for other bits.
        bits = "the trace's weights have the same digest" if stored else "both sides read one array"
        notes.append(f"{_weights(inputs, progress)}; bits: {bits}")
    reference: Source = stored or inputs.official()
    proofs: list[Certificate | None] = []
    with contextlib.ExitStack() as stack:
        trace = stack.enter_context(recorded(reference, progress))
        if options.certify:
            proofs.append(certificate(reference, progress))
        floor = {}
        if options.repeat:
            floor = _floor(inputs, reference, trace, options.repeat, progress)
            notes.append(floor_line(floor, options.repeat, inputs.manifest.backend))
        reference.release()
        evidence = stack.enter_context(
            Evidence(
                reference,
                trace,
                functools.partial(_formula, inputs, reference),
                scopes=_SCOPES[options.inject] if setting.takes_block_inputs else (),
                dtype=options.oracle,
                floor=floor,
                progress=progress,
            )
        )
        columns: list[Column] = []
        for variant in variants:
            candidate = Candidate(
                variant.name, variant.fields, functools.partial(inputs.ours, variant)
            )
            column, source = compare_candidate(trace, reference.unavailable, candidate, progress)
            if options.certify and not columns:
                proofs.append(certificate(source, progress))
            if options.inject != "auto" or column.first_divergence is not None:
                column = evidence.examine(column, source)
            columns.append(column)
    certificates = [proof for proof in proofs if proof is not None]
    comparison = Comparison(
        manifest=_report_manifest(inputs.manifest, reference.manifest),
        columns=columns,
        environment=_environment_differences(inputs.manifest, reference.manifest),
        blind_spots=blind_spots(setting.config, setting.blocks, setting.tokens),
        notes=[*notes, *map(str, certificates)],
    )
    return comparison, certificates


def _formula(inputs: Inputs, reference: Source) -> FunctionSource | None:
    """The reference as a function, for the oracle; for a stored trace the package, if usable."""
    if isinstance(reference, FunctionSource):
        return reference
    try:
        return inputs.official()
    except RequestError:
        return None


def _weights(inputs: Inputs, progress: Callable[[str], None]) -> WeightCheck:
    """What the package would initialise against what it is given.

    Raises:
      RequestError: they don't agree; every tensor that doesn't is named.
    """
    from parity.sources.gemma_package import expected_weights, given_weights

    progress("weights: checking names, shapes and dtypes")
    setting = inputs.setting
    check = check_weights(
        expected_weights(setting.model, setting.blocks, setting.dtype), given_weights(inputs.params)
    )
    if check.problems:
        raise RequestError(str(check))
    return check


def _floor(
    inputs: Inputs,
    reference: Source,
    trace: Trace,
    repeat: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    ours = inputs.ours()
    with recorded(ours, progress) as own:
        if inputs.manifest.backend not in TIMED_KERNELS:
            floors = [
                floor_here(s, t, repeat, progress) for s, t in ((reference, trace), (ours, own))
            ]
        else:
            floors = [
                floor_in_processes(
                    [*arguments_of(inputs.setting), "--source", name], first, repeat, progress
                )
                for name, first in (("flax", trace), ("jaxformer", own))
            ]
    return dict(widest(*floors))


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
