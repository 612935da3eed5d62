"""Presets are Gemma 3's, and configs refuse what no model can be."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
from cases import SHORT

from jaxformer.cache import cached_forward, empty_cache
from jaxformer.config import NUMERICS_CHOICES, NUMERICS_PROFILES, PRESETS, Config, Numerics
from jaxformer.fast.blockwise import BLOCK
from jaxformer.fast.layout import laid_out
from jaxformer.model import forward
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gating": "fusd"}, "gating must be one of fused, split, stacked, concatenated"),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps must be a finite number >= 0"),
        ({"rms_norm_eps": math.nan}, "rms_norm_eps must be a finite number >= 0"),
        ({"rms_norm_eps": "1e-6"}, "rms_norm_eps must be a finite number >= 0"),
        ({"norm_dtype": "float16"}, "norm_dtype must be one of input, float32"),
    ],
)
def test_unknown_numerics_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Numerics(**change)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("softmax_dtype", "float32"),
        ("gating", "split"),
        ("gating", "concatenated"),
        ("gelu_dtype", "float32"),
        ("query_scaling", "logits"),
    ],
)
def test_what_the_fast_formulation_ignores_is_refused_by_name(field: str, value: str) -> None:
    fast = Numerics(formulation="fast")
    with pytest.raises(ValueError, match=f"fast does not honour {field}={value}; leave it out, or"):
        dataclasses.replace(fast, **{field: value})
    assert getattr(Numerics(**{field: value}), field) == value


def test_every_field_that_the_fast_formulation_ignores_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"softmax_dtype=.*gating=.*gelu_dtype=.*query_scaling="):
        dataclasses.replace(NUMERICS_PROFILES["hf"], formulation="fast")


CHANGES = [
    (name, value)
    for name, allowed in NUMERICS_CHOICES.items()
    for value in allowed or (1e-5,)
    if name != "formulation" and value != getattr(Numerics(), name)
]


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_a_field_changes_every_fast_program_or_is_refused(field: str, value: str | float) -> None:
    """Of few tokens, of more than one block of keys, and of one token with a cache."""
    fast = SHORT.with_numerics(formulation="fast")
    try:
        changed = fast.with_numerics(**{field: value})
    except ValueError:
        return
    for length, capacity in ((8, None), (BLOCK + 1, None), (1, 4)):
        before, after = (program_of(config, length, capacity) for config in (fast, changed))
        assert before != after


def program_of(config: Config, length: int, capacity: int | None) -> str:
    params = jax.eval_shape(laid_out, abstract_params(config, "bfloat16"))
    tokens = jax.ShapeDtypeStruct((1, length), jnp.int32)
    if capacity is None:
        return str(jax.make_jaxpr(lambda p, t: forward(p, t, config))(params, tokens))
    cache = empty_cache(config, 1, capacity, "bfloat16")
    return str(jax.make_jaxpr(lambda p, t: cached_forward(p, t, cache, config))(params, tokens))


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
