"""jaxformer against the official package, explained: what `python -m parity.explain` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxformer.numerics import NUMERICS_CHOICES, NUMERICS_PROFILES, Numerics
from parity.explain.explanation import Explanation
from parity.explain.regions import Choices, explain_regions
from parity.program.stages import Stage
from parity.subjects.gemma.blocks import by_block
from parity.subjects.gemma.inputs import Inputs
from parity.subjects.variants import Variant
from parity.verdict.run import recorded

Progress = Callable[[str], None]


def explain_variant(inputs: Inputs, variant: Variant, progress: Progress) -> Explanation:
    """Every statement at which jaxformer, with a variant's numerics, departs from the package.

    Raises:
      UsageError: the package is not usable.
    """
    official, ours = inputs.official(), inputs.ours(variant)
    with recorded(official, progress) as trace:
        official.release()
        choices = numerics_choices(inputs, variant)
        return explain_regions(ours, official, trace, progress, choices=choices, grouping=by_block)


def numerics_choices(inputs: Inputs, variant: Variant) -> Choices:
    """Every other value of a numerics field that could bring a variant to a reference."""
    current = inputs.config_of(variant).numerics

    def stages(changes: Mapping[str, Any]) -> Sequence[Stage]:
        return inputs.ours(Variant(variant.name, {**variant.fields, **changes})).stages

    fields = [(f, v) for f in NUMERICS_CHOICES for v in _values(f) if _possible(current, f, v)]
    return Choices({f"{field}={value}": {field: value} for field, value in fields}, stages)


def _possible(current: Numerics, field: str, value: Any) -> bool:
    """Whether it is a change that our side accepts, and that could bring it to a reference.

    No reference has the fast formulation, which is ours alone.
    """
    if value in (getattr(current, field), "fast"):
        return False
    try:
        dataclasses.replace(current, **{field: value})
    except ValueError:
        return False
    return True


def _values(field: str) -> list[Any]:
    """What a field can be, the official value first, then that of transformers."""
    profiles = [getattr(NUMERICS_PROFILES[name], field) for name in ("official", "hf")]
    return list(dict.fromkeys([*profiles, *(NUMERICS_CHOICES[field] or ())]))
