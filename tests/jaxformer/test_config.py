"""Presets are Gemma 3's, and configs refuse what no model can be."""

import dataclasses
import math

import jax
import pytest

from jaxformer.config import PRESETS, Config
from jaxformer.numerics import NUMERICS_PROFILES, Numerics
from jaxformer.params import abstract_params

TEXT_PARAMETERS = {
    "tiny": 682_032,
    "gemma3-270m": 268_098_176,
    "gemma3-1b": 999_885_952,
    "gemma3-4b": 3_880_099_328,
    "gemma3-12b": 11_765_788_416,
    "gemma3-27b": 27_009_002_240,
}
GLOBAL_BLOCKS = {
    "tiny": 1,
    "gemma3-270m": 3,
    "gemma3-1b": 4,
    "gemma3-4b": 5,
    "gemma3-12b": 8,
    "gemma3-27b": 10,
}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_has_the_published_number_of_parameters(name: str) -> None:
    leaves = jax.tree.leaves(abstract_params(PRESETS[name], "bfloat16"))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == TEXT_PARAMETERS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_every_sixth_block_is_global(name: str) -> None:
    kinds = PRESETS[name].layer_kinds
    assert kinds.count("global") == GLOBAL_BLOCKS[name]
    assert [i for i, kind in enumerate(kinds) if kind == "global"] == list(range(5, len(kinds), 6))


def test_27b_scales_queries_by_width_per_head_not_by_head_width() -> None:
    assert PRESETS["gemma3-27b"].query_scale == 168**-0.5


def test_only_4b_and_up_stretch_global_positions() -> None:
    factors = {name: config.rope("global").factor for name, config in PRESETS.items()}
    assert factors == {
        "tiny": 1,
        "gemma3-270m": 1,
        "gemma3-1b": 1,
        "gemma3-4b": 8,
        "gemma3-12b": 8,
        "gemma3-27b": 8,
    }
    assert {config.rope("local").factor for config in PRESETS.values()} == {1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_kv_heads": 3}, "multiple of num_kv_heads"),
        ({"head_width": 255}, "head_width must be even"),
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"layer_kinds": ()}, "layer_kinds must name"),
        ({"layer_kinds": ("local", "lokal")}, "layer_kinds must name"),
    ],
)
def test_impossible_shapes_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PRESETS["gemma3-1b"], **change)


def test_official_numerics_are_the_default() -> None:
    assert PRESETS["gemma3-1b"].numerics == NUMERICS_PROFILES["official"] == Numerics()


def test_with_numerics_changes_those_fields_alone() -> None:
    changed = PRESETS["gemma3-1b"].with_numerics(rms_norm_eps=1e-5)
    assert changed.numerics == Numerics(rms_norm_eps=1e-5)
    assert dataclasses.replace(changed, numerics=Numerics()) == PRESETS["gemma3-1b"]


def test_configs_are_hashable_so_jit_can_key_on_them() -> None:
    again = Config(
        **{f.name: getattr(PRESETS["gemma3-1b"], f.name) for f in dataclasses.fields(Config)}
    )
    assert hash(again) == hash(PRESETS["gemma3-1b"])
