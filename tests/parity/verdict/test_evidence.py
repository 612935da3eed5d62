"""Evidence on the cases that this project began with."""

import dataclasses

import pytest
from cases import SMALL, Case

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import PRESETS
from parity.subjects.gemma.blind_spots import blind_spots
from parity.subjects.gemma.gemma_package import preset_config

MODEL = "tiny"
CONFIG = PRESETS[MODEL]
SCALED_TWICE = dataclasses.replace(CONFIG, query_pre_attn_scalar=24 * 24)
TWO_BLOCKS = dataclasses.replace(SMALL, layer_kinds=("local", "global"))


def two_blocks() -> Case:
    return Case(TWO_BLOCKS, synthetic_params(TWO_BLOCKS, 0), (2, 20), 2)


def preset_case(length: int, blocks: int = 2) -> Case:
    params = synthetic_params(CONFIG, 0, blocks=blocks)
    return Case(CONFIG, params, (1, length), blocks, official=preset_config(MODEL, blocks))


def test_one_token_is_blind_to_a_query_scaled_twice() -> None:
    column = preset_case(1).run(SCALED_TWICE)
    assert {tap.status for tap in column.taps} == {"identical"}
    assert any("attention: one token per row" in line for line in blind_spots(CONFIG, 2, [[2]]))


def test_sixteen_tokens_name_its_stage_in_block_0() -> None:
    """Between the rotated query, the last tap before scaling, and the probabilities."""
    column = preset_case(16, blocks=1).examine(SCALED_TWICE, scopes=["taps"])
    assert column.diverged_at is not None
    assert column.diverged_at.tap == "blocks.0.attn.probs"
    assert "another formula" in column.diverged_at.reason
    before = column.tap("blocks.0.attn.query_rope")
    assert before is not None
    assert before.status == "identical"


@pytest.mark.matrix
def test_the_narrower_oracle_tells_rounding_from_another_formula_too() -> None:
    columns = two_blocks().examine_all(
        {
            "rewrite": TWO_BLOCKS.with_numerics(norm_dtype="float32"),
            "fault": dataclasses.replace(TWO_BLOCKS, window=9),
        },
        scopes=["taps"],
        oracle="float32",
    )
    rewrite, fault = columns
    assert rewrite.diverged_at is None
    assert rewrite.first_divergence is not None
    assert fault.diverged_at is not None
    assert fault.diverged_at.tap == "blocks.0.attn.probs"


def test_less_accurate_is_not_rounding() -> None:
    """Sine and cosine in bfloat16: the same formula, yet worse than the reference."""
    config = dataclasses.replace(SMALL, layer_kinds=("local",))
    case = Case(config, synthetic_params(config, 0), (2, 20), 1)
    column = case.examine(config.with_numerics(rope_dtype="input"), scopes=["taps"])
    assert column.diverged_at is not None
    assert column.diverged_at.tap == "blocks.0.attn.query_rope"
    assert column.diverged_at.stage is not None
    assert column.diverged_at.stage.formula_share is not None
    assert column.diverged_at.stage.formula_share <= 1
    assert column.diverged_at.stage.accuracy is not None
    assert column.diverged_at.stage.accuracy.worse
