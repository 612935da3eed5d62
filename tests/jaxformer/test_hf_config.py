"""Both schemas of a Hugging Face config, their defaults, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from jaxformer.config import PRESETS, Config, Rope
from jaxformer.errors import UsageError
from jaxformer.hf_config import parse_hf_config
from jaxformer.numerics import Numerics

LINEAR = {"factor": 8.0, "rope_type": "linear"}
# As the Hub has them: what equals a default is left out from 4B on.
OLD_1B = {
    "architectures": ["Gemma3ForCausalLM"],
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "cache_implementation": "hybrid",
    "eos_token_id": [1, 106],
    "final_logit_softcapping": None,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 1152,
    "intermediate_size": 6912,
    "max_position_embeddings": 32768,
    "model_type": "gemma3_text",
    "num_attention_heads": 4,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "torch_dtype": "bfloat16",
    "vocab_size": 262144,
}
KINDS = ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(26)]
NEW_1B = {
    **{k: v for k, v in OLD_1B.items() if not k.startswith(("rope_", "sliding_window_pattern"))},
    "_sliding_window_pattern": 6,
    "layer_types": KINDS,
    "rope_parameters": {
        "full_attention": {"rope_theta": 1000000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    },
    "tie_word_embeddings": True,
    "use_bidirectional_attention": False,
}


def nested(**text: Any) -> dict[str, Any]:
    return {
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", "rope_scaling": LINEAR, **text},
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
    }


HUB = {
    "gemma3-270m": {
        **OLD_1B,
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "layer_types": KINDS[:18],
    },
    "gemma3-1b": OLD_1B,
    "gemma3-4b": nested(
        hidden_size=2560, intermediate_size=10240, num_hidden_layers=34, sliding_window=1024
    ),
    "gemma3-12b": nested(
        hidden_size=3840,
        intermediate_size=15360,
        num_attention_heads=16,
        num_hidden_layers=48,
        num_key_value_heads=8,
        sliding_window=1024,
    ),
    "gemma3-27b": nested(
        head_dim=128,
        hidden_size=5376,
        intermediate_size=21504,
        num_attention_heads=32,
        num_hidden_layers=62,
        num_key_value_heads=16,
        query_pre_attn_scalar=168,
        sliding_window=1024,
    ),
}


@pytest.mark.parametrize("model", HUB)
def test_configs_of_the_hub_are_the_presets(model: str) -> None:
    assert Config.from_hf(HUB[model]) == PRESETS[model]


def test_both_schemas_say_the_same() -> None:
    assert Config.from_hf(NEW_1B) == Config.from_hf(OLD_1B) == PRESETS["gemma3-1b"]


def test_what_is_left_out_has_the_default_of_transformers() -> None:
    assert Config.from_hf({"model_type": "gemma3_text"}) == Config(
        vocab_size=262_144,
        width=2304,
        mlp_width=9216,
        num_heads=8,
        num_kv_heads=4,
        head_width=256,
        layer_kinds=PRESETS["gemma3-1b"].layer_kinds,
        window=4096,
        query_pre_attn_scalar=256,
        context_length=131_072,
    )


def test_the_padded_vocabulary_is_known_by_its_rows() -> None:
    assert parse_hf_config(HUB["gemma3-4b"]).vocab_rows == 262_208
    assert parse_hf_config(HUB["gemma3-4b"]).multimodal
    assert parse_hf_config(OLD_1B).vocab_rows == 262_144
    assert not parse_hf_config(OLD_1B).multimodal
    assert Config.from_hf({**OLD_1B, "vocab_size": 262_200}).vocab_size == 262_200


def test_the_epsilon_is_the_configs_and_other_numerics_are_official() -> None:
    assert Config.from_hf({**OLD_1B, "rms_norm_eps": 1e-5}).numerics == Numerics(rms_norm_eps=1e-5)


@pytest.mark.parametrize("pattern", [1, 2, 4])
def test_a_pattern_is_one_global_layer_after_local_ones(pattern: int) -> None:
    kinds = Config.from_hf({**OLD_1B, "sliding_window_pattern": pattern}).layer_kinds
    assert [i for i, kind in enumerate(kinds) if kind == "global"] == list(
        range(pattern - 1, 26, pattern)
    )


def test_layer_types_need_no_pattern() -> None:
    kinds = ["full_attention", "sliding_attention"] * 13
    config = Config.from_hf({**NEW_1B, "layer_types": kinds})
    assert config.layer_kinds == ("global", "local") * 13


@pytest.mark.parametrize(
    "fields",
    [
        {"rope_scaling": LINEAR},
        {"rope_scaling": {"factor": 8, "type": "linear"}},
        {"rope_scaling": {**LINEAR, "type": "linear"}},
        {"rope_parameters": {"full_attention": {**LINEAR, "rope_theta": 1e6}}},
        {"rope_parameters": {"full_attention": LINEAR, "sliding_attention": None}},
        {"rope_parameters": {"full_attention": LINEAR}, "rope_scaling": LINEAR},
    ],
)
def test_a_linear_factor_stretches_global_layers_alone(fields: dict) -> None:
    config = Config.from_hf({**OLD_1B, **fields})
    assert config.global_rope == Rope(1_000_000, 8.0)
    assert config.local_rope == Rope(10_000, 1.0)


def test_bases_and_factors_are_read_per_layer_type() -> None:
    own = {
        "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500_000},
        "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 20_000.0},
    }
    config = Config.from_hf({**NEW_1B, "rope_parameters": own})
    assert (config.global_rope, config.local_rope) == (Rope(500_000, 4.0), Rope(20_000, 2.0))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "gemma2"}, "model_type must be gemma3_text or gemma3, got 'gemma2'"),
    ({"model_type": "llama"}, "got 'llama'"),
    ({"model_type": None}, "got null"),
    ({"model_type": "gemma3"}, "text_config of a gemma3 config must be an object, got null"),
    ({"query_pre_attn_scalar": 0.0625}, "at least 1, got 0.0625: an early converter"),
    ({"query_pre_attn_scalar": 1.5}, "query_pre_attn_scalar must be a whole number, got 1.5"),
    ({"final_logit_softcapping": 30.0}, "final_logit_softcapping must be null, got 30.0"),
    ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping must be null, got 50.0"),
    ({"attention_bias": True}, "attention_bias must be false, got true"),
    ({"attention_bias": 0}, "attention_bias must be false, got 0"),
    ({"hidden_activation": "gelu"}, "hidden_activation must be 'gelu_pytorch_tanh', got 'gelu'"),
    ({"tie_word_embeddings": False}, "tie_word_embeddings must be true, got false"),
    ({"use_bidirectional_attention": True}, "use_bidirectional_attention must be false or null"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be null"),
    ({"quantization_config": {"bits": 4}}, "load the checkpoint that is not quantised"),
    ({"hidden_size": "1152"}, "hidden_size must be a whole number from 1 to 1048576, got '1152'"),
    ({"hidden_size": 1152.0}, "hidden_size must be a whole number"),
    ({"num_hidden_layers": True}, "num_hidden_layers must be a whole number"),
    ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number from 1 to 1024, got 0"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers must be a whole number from 1 to 1024"),
    ({"vocab_size": -1}, "vocab_size must be"),
    ({"sliding_window": None}, "sliding_window must be a whole number"),
    ({"max_position_embeddings": 0}, "max_position_embeddings must be"),
    ({"rms_norm_eps": math.nan}, "rms_norm_eps must be a number from 0 to 1, got nan"),
    ({"rms_norm_eps": -1e-6}, "rms_norm_eps must be a number from 0 to 1"),
    ({"num_key_value_heads": 3}, "multiple of num_key_value_heads, got 4 and 3"),
    ({"head_dim": 255}, "head_dim must be even"),
    ({"layer_types": KINDS[:5]}, "layer_types must have 26 entries, one per layer, not 5"),
    ({"layer_types": ["chunked_attention"] * 26}, "got 'chunked_attention'"),
    ({"layer_types": "full_attention"}, "layer_types must be a list"),
    ({"layer_types": KINDS[::-1]}, "sliding_window_pattern 6 contradicts layer_types"),
    ({"sliding_window_pattern": 0}, "sliding_window_pattern must be"),
    ({"sliding_window_pattern": None}, "sliding_window_pattern must be"),
    ({"_sliding_window_pattern": 4}, "_sliding_window_pattern 4 without layer_types"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, "default or linear, got 'yarn'"),
    ({"rope_scaling": {"rope_type": ["linear"]}}, "rope_scaling.rope_type must be"),
    ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling.factor is missing"),
    ({"rope_scaling": {**LINEAR, "type": "default"}}, "'linear' and type 'default' differ"),
    (
        {"rope_scaling": {"rope_type": "default", "factor": 8.0}},
        "factor 8.0 needs rope_type linear",
    ),
    ({"rope_scaling": {**LINEAR, "factor": 0.5}}, "factor must be a number from 1 to"),
    ({"rope_scaling": {**LINEAR, "factor": math.inf}}, "factor must be a number from 1 to"),
    ({"rope_scaling": {**LINEAR, "low_freq_factor": 1}}, "'low_freq_factor' is not known"),
    ({"rope_scaling": 8}, "rope_scaling must be an object or null, got 8"),
    ({"rope_theta": 0}, "rope_theta must be a number from 1 to 1e+12, got 0"),
    ({"rope_theta": 1e6 + 0.5}, "rope_theta must be a whole number"),
    ({"rope_theta": 10**400}, "rope_theta must be a number"),
    ({"rope_local_base_freq": "10000"}, "rope_local_base_freq must be a number"),
    ({"rope_parameters": {"rope_type": "default"}}, "rope_parameters.'rope_type' is not known"),
    (
        {"rope_parameters": {"full_attention": {"rope_theta": 10_000}}},
        "rope_theta 1000000 contradicts rope_parameters.full_attention, 10000",
    ),
    (
        {"rope_parameters": {"full_attention": LINEAR}, "rope_scaling": {**LINEAR, "factor": 4.0}},
        "rope_scaling, factor 4.0, contradicts rope_parameters.full_attention, 8.0",
    ),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_jaxformer_does_not_do_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Config.from_hf({**OLD_1B, **fields})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [[], None, "gemma3_text", 3])
def test_a_config_that_is_no_object_is_refused(config: Any) -> None:
    with pytest.raises(UsageError, match="must be a JSON object"):
        Config.from_hf(config)


def test_every_offending_field_is_named_at_once() -> None:
    fields = {"attention_bias": True, "hidden_size": 0, "rope_scaling": {"rope_type": "yarn"}}
    with pytest.raises(UsageError, match=r"hidden_size.*attention_bias.*rope_type"):
        Config.from_hf({**OLD_1B, **fields})


def test_fields_of_the_multimodal_config_count_too() -> None:
    config = {**HUB["gemma3-4b"], "tie_word_embeddings": False}
    with pytest.raises(UsageError, match="tie_word_embeddings must be true"):
        Config.from_hf(config)
    quantised = {**HUB["gemma3-4b"], "quantization_config": {"quant_method": "fp8"}}
    with pytest.raises(UsageError, match="quantization_config"):
        Config.from_hf(quantised)


@pytest.mark.parametrize("model", PRESETS)
def test_what_is_written_reads_back(model: str) -> None:
    odd = dataclasses.replace(
        PRESETS[model],
        local_rope=Rope(5_000, 2.0),
        layer_kinds=PRESETS[model].layer_kinds[::-1],
        numerics=Numerics(rms_norm_eps=1e-5),
    )
    for config in (PRESETS[model], odd):
        written = json.loads(json.dumps(config.to_hf()))
        assert Config.from_hf(written) == config


def test_readers_of_the_older_schema_find_its_fields() -> None:
    written = PRESETS["gemma3-4b"].to_hf()
    new_only = ("layer_types", "rope_parameters")
    older = {name: value for name, value in written.items() if name not in new_only}
    assert Config.from_hf(older) == PRESETS["gemma3-4b"]


def test_a_context_without_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="context_length must be at least 1, got 0"):
        dataclasses.replace(PRESETS["gemma3-1b"], context_length=0)
