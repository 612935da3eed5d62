"""Against the official package itself: equal in every bit, and every planted fault is seen."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL, Case, assert_identical, quiet, small_case, tap_count, tap_shapes

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import PRESETS, Config, Rope
from jaxformer.model import forward
from jaxformer.numerics import NUMERICS_PROFILES
from jaxformer.official import converted_config, official_params
from jaxformer.params import abstract_params
from parity.subjects.gemma.arguments import BLOCK_TAPS
from parity.subjects.gemma.flax_gemma import flax_gemma_side
from parity.subjects.gemma.gemma_package import preset_config
from parity.trace.frames import MemorySink, Trace
from parity.trace.manifest import Manifest
from parity.trace.recorder import Recording, TapRecorder, compile_recording
from parity.verdict.plan import Candidate
from parity.verdict.run import certificate, compare_candidate, recorded


@pytest.mark.parametrize(
    ("dtype", "numerics"),
    [
        ("bfloat16", "default"),
        ("bfloat16", "strict"),
        ("float32", "default"),
        pytest.param("float32", "strict", marks=pytest.mark.matrix),
    ],
)
def test_every_tap_of_a_small_model_is_identical(dtype: str, numerics: str) -> None:
    column = small_case(dtype, (3, 20), numerics=numerics).run()
    assert_identical(column, tap_count(SMALL.num_blocks, whole=True))


@pytest.mark.parametrize("blocks", [2, 4])
def test_the_package_has_every_tap_of_the_table_in_its_order_and_shape(blocks: int) -> None:
    tokens = jnp.asarray(synthetic_tokens(SMALL, 2, 5, 0))
    source = official_source(tokens, synthetic_params(SMALL, 0, blocks=blocks), blocks)
    found = [(spec.name, spec.shape) for spec in source.prepare()]
    assert found == tap_shapes(SMALL, blocks, 2, 5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_padding_anywhere_is_treated_as_the_official_package_does(dtype: str) -> None:
    tokens = [
        [2, 5, 6, 0, 7, 8, 9, 10, 0, 0, 11, 12],
        [0, 0, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        [2, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0],
    ]
    assert_identical(
        small_case(dtype, tokens=tokens).run(), tap_count(SMALL.num_blocks, whole=True)
    )


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_a_single_key_head_and_groups_are_both_identical(kv_heads: int) -> None:
    config = dataclasses.replace(SMALL, num_kv_heads=kv_heads)
    params = synthetic_params(config, 1, "float32")
    column = Case(config, params, (1, 20), SMALL.num_blocks).run()
    assert_identical(column, tap_count(SMALL.num_blocks, whole=True))


@pytest.mark.parametrize(
    ("model", "dtype", "shape", "blocks"),
    [
        ("gemma3-270m", "float32", (3, 16), 6),
        ("gemma3-1b", "bfloat16", (1, 700), 6),
        # The whole depth of the smallest real model; that of 1B takes three times as long.
        ("gemma3-270m", "bfloat16", (1, 16), 18),
        pytest.param("gemma3-1b", "bfloat16", (1, 16), 26, marks=pytest.mark.matrix),
        pytest.param("gemma3-1b", "float32", (1, 2), 26, marks=pytest.mark.matrix),
        pytest.param("gemma3-4b", "bfloat16", (1, 1100), 6, marks=pytest.mark.matrix),
        pytest.param("gemma3-12b", "bfloat16", (1, 16), 6, marks=pytest.mark.matrix),
        pytest.param("gemma3-27b", "bfloat16", (1, 16), 2, marks=pytest.mark.matrix),
    ],
)
def test_real_shapes_are_identical(
    model: str, dtype: str, shape: tuple[int, int], blocks: int
) -> None:
    """A part of the whole matrix (`pytest -m matrix`) that fits the suite's time."""
    config = PRESETS[model]
    params = synthetic_params(config, 0, dtype, blocks=blocks)
    column = Case(config, params, shape, blocks, official=preset_config(model, blocks)).run()
    assert_identical(column, tap_count(blocks, whole=blocks == config.num_blocks))


@pytest.mark.parametrize("model", PRESETS)
def test_our_presets_are_the_official_ones(model: str) -> None:
    blocks = PRESETS[model].num_blocks
    assert converted_config(PRESETS[model], blocks) == preset_config(model, blocks)


# A block of each kind: a fault is seen where it begins, whatever comes after.
PAIR = dataclasses.replace(SMALL, layer_kinds=("local", "global"))


def faulty(**fields: Any) -> Config:
    return dataclasses.replace(PAIR, **fields)


# a fault of a port -> the taps at which it may first be seen
FAULTS = {
    "query scaled twice": (faulty(query_pre_attn_scalar=32 * 32), "blocks.0.attn.probs"),
    "local RoPE base": (faulty(local_rope=Rope(1_000_000)), "blocks.0.attn.query_rope"),
    "global RoPE base": (faulty(global_rope=Rope(10_000)), "blocks.1.attn.query_rope"),
    "global RoPE factor": (faulty(global_rope=Rope(1_000_000, 8)), "blocks.1.attn.query_rope"),
    "window off by one": (faulty(window=9), "blocks.0.attn.probs"),
    "a global layer taken for a local one": (
        faulty(layer_kinds=("local",) * 2),
        "blocks.1.attn.query_rope",
    ),
    "norm in float32": (PAIR.with_numerics(norm_dtype="float32"), "blocks.0.pre_attention_norm"),
    "softmax in float32": (PAIR.with_numerics(softmax_dtype="float32"), "blocks.0.attn.probs"),
    "sin and cos rounded": (PAIR.with_numerics(rope_dtype="input"), "blocks.0.attn.query_rope"),
}


def pair_case(shape: tuple[int, int] = (2, 20)) -> Case:
    return Case(PAIR, synthetic_params(PAIR, 0), shape, PAIR.num_blocks)


@pytest.fixture(scope="module")
def reference() -> Iterator[Trace]:
    with recorded(pair_case().sources()[0], quiet) as trace:
        yield trace


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen_where_it_is(reference: Trace, fault: str) -> None:
    config, where = FAULTS[fault]
    candidate = Candidate("ours", {}, lambda: pair_case().sources(config)[1])
    column, _ = compare_candidate(reference, {}, candidate, quiet)
    assert column.first_divergence is not None
    assert column.first_divergence.tap == where


def test_one_token_cannot_see_attention() -> None:
    """What cost the project's founders weeks: at T = 1 a query scaled twice changes nothing."""
    column = pair_case((1, 1)).run(faulty(query_pre_attn_scalar=32 * 32))
    assert_identical(column, tap_count(PAIR.num_blocks, whole=True))


def test_a_window_fault_needs_more_tokens_than_the_window() -> None:
    assert pair_case((1, 8)).run(faulty(window=9)).first_divergence is None
    assert pair_case((1, 9)).run(faulty(window=9)).first_divergence is not None


def test_hf_numerics_differ_in_bfloat16() -> None:
    column = pair_case().run(faulty(numerics=NUMERICS_PROFILES["hf"]))
    assert column.first_divergence is not None


def official_source(tokens: Any, params: Any, blocks: int = SMALL.num_blocks) -> Any:
    return flax_gemma_side(
        params,
        tokens,
        converted_config(SMALL, blocks),
        Manifest("test"),
        whole=blocks == SMALL.num_blocks,
    )


@pytest.mark.parametrize("blocks", [2, 4])
def test_official_taps_change_nothing(blocks: int) -> None:
    """Certified against the package's public call, which knows nothing of taps."""
    tokens = jnp.asarray(synthetic_tokens(SMALL, 2, 20, 0))
    source = official_source(tokens, synthetic_params(SMALL, 0, blocks=blocks), blocks)
    with recorded(source, lambda message: None):
        proof = certificate(source, lambda message: None)
    assert proof is not None
    assert proof.holds
    assert proof.output.size == 2 * 20 * (512 if blocks == 4 else 64)


def test_official_certificate_catches_a_tap_that_perturbs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Perturbing(TapRecorder):
        def __call__(self, name: str, value: jax.Array) -> jax.Array:
            value = super().__call__(name, value)
            return value * 1.0078125 if name == "blocks.1.mlp.output" else value

    monkeypatch.setattr("parity.sides.function.TapRecorder", Perturbing)
    tokens = jnp.asarray(synthetic_tokens(SMALL, 2, 20, 0))
    source = official_source(tokens, synthetic_params(SMALL, 0))
    with recorded(source, lambda message: None):
        proof = certificate(source, lambda message: None)
    assert proof is not None
    assert not proof.holds
    assert "NOT certified" in str(proof)


def test_tapping_leaves_the_official_package_as_it_was() -> None:
    """No hook and no replaced function outlives the trace, in this process's later calls."""
    from gemma import gm
    from gemma.gm.nn import _modules

    before = _modules._positional_embeddings
    tokens = jnp.asarray(synthetic_tokens(SMALL, 1, 5, 0))
    params = synthetic_params(SMALL, 0)
    official_source(tokens, params).prepare()
    assert _modules._positional_embeddings is before
    model = gm.nn.Transformer(config=converted_config(SMALL, SMALL.num_blocks), dtype=jnp.bfloat16)
    plain = jax.make_jaxpr(lambda p, t: model.apply(p, t).logits)(official_params(params), tokens)
    assert "callback" not in str(plain)


SEEDS = range(5)
DEPTH = 12


@pytest.mark.matrix
@pytest.mark.parametrize("seed", SEEDS)
def test_epsilon_shows_some_blocks_in_and_saturates(seed: int) -> None:
    """rms_norm_eps 1e-5 on the 1B width: zero for the first blocks, most elements at the end."""
    mismatched = block_mismatches(seed, 16, rms_norm_eps=1e-5)
    assert mismatched[:4] == [0] * 4
    assert mismatched[-1] > 0.8 * 16 * 1152


@pytest.mark.matrix
@pytest.mark.parametrize("seed", SEEDS)
def test_stacked_gating_shows_at_16_tokens_and_not_at_one(seed: int) -> None:
    assert block_mismatches(seed, 1, gating="stacked") == [0] * DEPTH
    assert block_mismatches(seed, 16, gating="stacked")[-1] > 0


def block_mismatches(seed: int, length: int, **numerics: Any) -> list[int]:
    """Mismatched elements of each block's output, of 1B with other numerics against as it is.

    That jaxformer as it is equals the official package is what the tests above show.
    """
    config = PRESETS["gemma3-1b"]
    params = synthetic_params(config, seed, blocks=DEPTH)
    tokens = jnp.asarray(synthetic_tokens(config, 1, length, seed))
    traces = []
    for fields in ((), tuple(numerics.items())):
        sink = MemorySink()
        compiled(length, fields).run(params, tokens, sink=sink)
        traces.append(sink.trace(Manifest("test")))
    names = [f"blocks.{i}.output" for i in range(DEPTH)]
    return [int(np.count_nonzero(traces[0][name] != traces[1][name])) for name in names]


@functools.cache
def compiled(length: int, numerics: tuple[tuple[str, Any], ...]) -> Recording:
    config = PRESETS["gemma3-1b"].with_numerics(**dict(numerics))
    shapes = abstract_params(config, "bfloat16", blocks=DEPTH)
    tokens = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return compile_recording(
        lambda p, t, *, tap: forward(p, t, config, tap=tap, blocks=DEPTH),
        shapes,
        tokens,
        recorder=TapRecorder(BLOCK_TAPS),
    )
