"""Numerics take only what a model can honour."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
from cases import SHORT

from jaxformer.cache import cached_forward, empty_cache
from jaxformer.config import Config
from jaxformer.fast.blockwise import BLOCK
from jaxformer.fast.layout import laid_out
from jaxformer.model import forward
from jaxformer.numerics import NUMERICS_CHOICES, NUMERICS_PROFILES, Numerics
from jaxformer.params import abstract_params

pytestmark = pytest.mark.quick


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
