"""One comparison from a setting to a Comparison: what `python -m parity.compare` does."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from parity.arrays.trees import WeightCheck, check_weights
from parity.errors import RequestError
from parity.sides.function import FunctionSource
from parity.sides.stored import StoredSource
from parity.subjects.gemma.blind_spots import blind_spots
from parity.subjects.gemma.inputs import Inputs, make_inputs, official_config
from parity.subjects.gemma.references import Reference, profile_fields, suited_to
from parity.subjects.gemma.setting import Setting
from parity.trace.frames import Manifest
from parity.verdict.comparison import Comparison
from parity.verdict.diff import check_comparable
from parity.verdict.holding import Holding, Options
from parity.verdict.run import Candidate, Certificate
from parity.verdict.variants import OURS, Variant


def compare(
    setting: Setting,
    variants: Sequence[Variant],
    *,
    references: Sequence[Reference] = ("flax",),
    options: Options | None = None,
    progress: Callable[[str], None],
) -> tuple[Comparison, list[Certificate]]:
    """jaxformer under each variant against a reference, or two.

    Args:
      variants: a column each; parity is that of the first.
      references: the first is what the variants are held against. A second, `hf`, is held against
        jaxformer with its numerics and against the first reference, in columns `ours/hf`
        and `flax/hf`.

    Raises:
      RequestError: the runs can't be compared, the weights don't fit, or a reference is not usable.
    """
    options = Options() if options is None else options
    first, *others = references
    setting = suited_to(setting, first)
    stored = first if isinstance(first, StoredSource) else None
    if stored:
        check_comparable(stored.manifest, setting.manifest)
    if "flax" in references:
        from parity.subjects.gemma.gemma_package import import_gemma

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
    holding = Holding(inputs, options, progress)
    columns = holding.against(first, [_candidate(first, inputs, v) for v in variants])
    manifests = [*holding.manifests]
    for other in others:
        columns += holding.against(other, _second_candidates(inputs, other))
        manifests.append(holding.manifests[-1])
        notes.append(f"columns ending in /hf are held against {manifests[-1].source}")
    certificates = holding.certificates
    comparison = Comparison(
        manifest=_report_manifest(inputs.manifest, manifests),
        columns=columns,
        environment=_environment_differences(inputs.manifest, manifests[0]),
        blind_spots=blind_spots(setting.config, setting.blocks, setting.tokens),
        notes=[*notes, *holding.notes, *map(str, certificates)],
        exact=first not in ("hf", "uncached"),
    )
    return comparison, certificates


def _candidate(reference: Reference, inputs: Inputs, variant: Variant) -> Candidate:
    if reference != "uncached":
        return Candidate(variant.name, variant.fields, functools.partial(inputs.ours, variant))
    if variant is OURS:
        variant = Variant("cached", {})
    return Candidate(variant.name, variant.fields, functools.partial(inputs.cached, variant))


def _second_candidates(inputs: Inputs, reference: Reference) -> list[Candidate]:
    """What is held against a second reference: ours with its numerics, and the first reference."""
    suited = dataclasses.replace(inputs, setting=suited_to(inputs.setting, reference))
    ours, flax = (Variant(f"{side}/{reference}", {}) for side in ("ours", "flax"))

    def official() -> FunctionSource:
        return dataclasses.replace(suited.official(), label=flax.name)

    return [
        Candidate(ours.name, profile_fields("hf"), functools.partial(suited.ours, ours)),
        Candidate(flax.name, {}, official),
    ]


def _weights(inputs: Inputs, progress: Callable[[str], None]) -> WeightCheck:
    """What the package would initialise against what it is given.

    Raises:
      RequestError: they don't agree; every tensor that doesn't is named.
    """
    from parity.subjects.gemma.gemma_package import expected_weights, given_weights

    progress("weights: checking names, shapes and dtypes")
    setting = inputs.setting
    check = check_weights(
        expected_weights(official_config(setting), setting.dtype), given_weights(inputs.params)
    )
    if check.problems:
        raise RequestError(str(check))
    return check


def _report_manifest(ours: Manifest, references: Sequence[Manifest]) -> dict[str, Any]:
    versions = [manifest.versions for manifest in (ours, *references)]
    tokens = ours.tokens or []
    return {
        **{k: v for k, v in ours.to_json().items() if k != "source"},
        "versions": {name: version for each in versions for name, version in each.items()},
        "tokens_shape": [len(tokens), len(tokens[0])],
        "reference": ", ".join(manifest.source for manifest in references),
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
