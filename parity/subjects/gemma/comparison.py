"""What is compared: jaxformer under each variant against a reference, or two."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from jaxformer.errors import UsageError
from parity.errors import RequestError
from parity.explain.explanation import Explanation
from parity.sides.function import FunctionSide
from parity.sides.side import Side
from parity.sides.stored import StoredSide
from parity.subjects.gemma.blind_spots import blind_spots
from parity.subjects.gemma.blocks import by_block
from parity.subjects.gemma.inputs import Inputs, make_inputs, official_config
from parity.subjects.gemma.references import Reference, opened, profile_fields, suited_to
from parity.subjects.gemma.setting import Setting, arguments_of
from parity.subjects.variants import OURS, Variant
from parity.verdict.diff import check_comparable
from parity.verdict.noise import TIMED_KERNELS
from parity.verdict.plan import Candidate, Held, Plan

Progress = Callable[[str], None]


def comparison_plan(
    setting: Setting,
    variants: Sequence[Variant],
    references: Sequence[Reference] = ("flax",),
    *,
    check_weights: bool = False,
    certify: bool = False,
    progress: Progress,
) -> Plan:
    """Make the weights and plan what runs on them.

    Args:
      variants: a column each; parity is that of the first.
      references: the first is what the variants are held against. A second, `hf`, is held against
        jaxformer with its numerics and against the first reference, in columns `ours/hf`
        and `flax/hf`.
      check_weights: compare parameter trees before anything runs.
      certify: references will be asked for a certificate.

    Raises:
      RequestError: the runs can't be compared, the weights don't fit, or a reference is not usable.
    """
    first, *others = references
    setting = suited_to(setting, first)
    stored = first if isinstance(first, StoredSide) else None
    if stored:
        check_comparable(setting.manifest, stored.manifest)
    if "flax" in references:
        from parity.subjects.gemma.gemma_package import import_gemma

        progress("official package: importing")
        import_gemma()
    inputs = make_inputs(setting, progress)
    notes: list[str] = []
    if check_weights:
        # What is given to the package are our own arrays, and a trace is refused for other bits.
        bits = "the trace's weights have the same digest" if stored else "both sides read one array"
        notes.append(f"{_checked_weights(inputs, progress)}; bits: {bits}")
    open_side = functools.partial(opened, inputs=inputs, certify=certify, progress=progress)
    held = [
        Held(
            functools.partial(open_side, first),
            [_candidate(first, inputs, variant) for variant in variants],
            functools.partial(_formula, inputs),
            inputs.ours,
            _alone(inputs, first),
        ),
        *(
            Held(
                functools.partial(open_side, other),
                _second_candidates(inputs, other),
                functools.partial(_formula, inputs),
                inputs.ours,
                note=lambda manifest: f"columns ending in /hf are held against {manifest.source}",
            )
            for other in others
        ),
    ]
    tokens = inputs.manifest.tokens or []
    return Plan(
        inputs.manifest,
        held,
        facts={"tokens_shape": [len(tokens), len(tokens[0])]},
        blind_spots=blind_spots(setting.config, setting.blocks, setting.tokens),
        allow=frozenset(("rounding",)) if first in ("hf", "uncached") else frozenset(),
        rule=by_block,
        injectable=setting.takes_block_inputs,
        notes=notes,
        explainers=_explainers(first, inputs, variants),
    )


def _explainers(
    reference: Reference, inputs: Inputs, variants: Sequence[Variant]
) -> dict[str, Callable[[Progress], Explanation]]:
    """Only the package has lines to replay, and all taps are needed."""
    if reference != "flax" or not inputs.setting.takes_block_inputs:
        return {}
    from parity.subjects.gemma.explaining import explain_variant

    return {v.name: functools.partial(explain_variant, inputs, v) for v in variants}


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

    def official() -> FunctionSide:
        return dataclasses.replace(suited.official(), label=flax.name)

    return [
        Candidate(ours.name, profile_fields("hf"), functools.partial(suited.ours, ours)),
        Candidate(flax.name, {}, official),
    ]


def _formula(inputs: Inputs, reference: Side) -> Side | None:
    """The reference, for the oracle; for one that doesn't run here the package, if usable."""
    if reference.stages:
        return reference
    try:
        return inputs.official()
    except (RequestError, UsageError):
        return None


def _alone(inputs: Inputs, reference: Reference) -> tuple[list[str], list[str]] | None:
    """Arguments of parity.record for the official package and for ours, on timed kernels."""
    if reference != "flax" or inputs.manifest.backend not in TIMED_KERNELS:
        return None
    common = arguments_of(inputs.setting)
    return [*common, "--source", "flax"], [*common, "--source", "jaxformer"]


def _checked_weights(inputs: Inputs, progress: Progress) -> str:
    """What the package would initialise against what it is given.

    Raises:
      RequestError: they don't agree; every tensor that doesn't is named.
    """
    from parity.arrays.trees import check_weights
    from parity.subjects.gemma.gemma_package import expected_weights, given_weights

    progress("weights: checking names, shapes and dtypes")
    setting = inputs.setting
    check = check_weights(
        given_weights(inputs.params), expected_weights(official_config(setting), setting.dtype)
    )
    if check.problems:
        raise RequestError(str(check))
    return str(check)
