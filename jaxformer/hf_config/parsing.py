"""Both schemas of a Gemma 3 `config.json`, read into one set of fields, and written.

The older has `rope_theta`, `rope_local_base_freq`, `rope_scaling` and
`sliding_window_pattern`; the newer `layer_types` and `rope_parameters` per layer type. Multimodal
configs nest the text model's under `text_config`. What is left out has transformers' default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxformer.errors import UsageError
from jaxformer.hf_config.fields import Fields, shown
from jaxformer.hf_config.rope import GLOBAL, LOCAL, rope_json, ropes

MODEL_TYPES = ("gemma3_text", "gemma3")
# Multimodal checkpoints pad the vocabulary by rows that no text token has.
PADDED_VOCAB_ROWS = 262_208
VOCAB_SIZE = 262_144

KINDS = {LOCAL: "local", GLOBAL: "global"}

# field -> transformers' default, and the most that is still a model rather than a mistake
_SIZES = {
    "vocab_size": (PADDED_VOCAB_ROWS, 1 << 24),
    "hidden_size": (2304, 1 << 20),
    "intermediate_size": (9216, 1 << 24),
    "num_hidden_layers": (26, 1 << 10),
    "num_attention_heads": (8, 1 << 12),
    "num_key_value_heads": (4, 1 << 12),
    "head_dim": (256, 1 << 16),
    "sliding_window": (4096, 1 << 31),
    "max_position_embeddings": (131_072, 1 << 31),
}
# What every Gemma 3 has, and jaxformer with it: field -> the accepted values, the default first.
_FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_activation": ("gelu_pytorch_tanh",),
    "tie_word_embeddings": (True,),
    "attention_bias": (False,),
    "final_logit_softcapping": (None,),
    "attn_logit_softcapping": (None,),
    "use_bidirectional_attention": (False, None),
    "partial_rotary_factor": (None, 1, 1.0),
}


@dataclass(frozen=True)
class HfConfig:
    """A Gemma 3 text model by its `config.json`.

    Attributes:
      vocab_rows: rows of the stored embedding; `vocab_size` of them are tokens.
      layer_kinds: `local` or `global` per block.
      local_rope, global_rope: base and factor.
      multimodal: the text model is one part of it.
    """

    vocab_rows: int
    vocab_size: int
    width: int
    mlp_width: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    layer_kinds: tuple[str, ...]
    window: int
    query_pre_attn_scalar: int
    local_rope: tuple[int, float]
    global_rope: tuple[int, float]
    rms_norm_eps: float
    context_length: int
    multimodal: bool = False


def parse_hf_config(config: object) -> HfConfig:
    """The fields of a parsed `config.json`.

    Raises:
      UsageError: it isn't Gemma 3's, or asks for what jaxformer doesn't do; every field at once.
    """
    problems: list[str] = []
    if not isinstance(config, Mapping):
        raise UsageError(f"a model config must be a JSON object, got {type(config).__name__}")
    text, multimodal = _text_config(config)
    fields = Fields(text, problems)
    sizes = {name: fields.whole(name, *limits) for name, limits in _SIZES.items()}
    for name, allowed in _FIXED.items():
        fields.one_of(name, allowed)
        if multimodal and name in config:
            Fields(config, problems).one_of(name, allowed)
    if sizes["num_attention_heads"] % sizes["num_key_value_heads"]:
        problems.append(
            "num_attention_heads must be a multiple of num_key_value_heads, got "
            f"{sizes['num_attention_heads']} and {sizes['num_key_value_heads']}"
        )
    if sizes["head_dim"] % 2:
        problems.append(f"head_dim must be even for RoPE, got {sizes['head_dim']}")
    for part in (config, text):
        if part.get("quantization_config") is not None:
            problems.append("quantization_config: load the checkpoint that is not quantised")
    local_rope, global_rope = ropes(fields)
    parsed = HfConfig(
        vocab_rows=sizes["vocab_size"],
        vocab_size=VOCAB_SIZE if sizes["vocab_size"] == PADDED_VOCAB_ROWS else sizes["vocab_size"],
        width=sizes["hidden_size"],
        mlp_width=sizes["intermediate_size"],
        num_heads=sizes["num_attention_heads"],
        num_kv_heads=sizes["num_key_value_heads"],
        head_width=sizes["head_dim"],
        layer_kinds=_layer_kinds(fields, sizes["num_hidden_layers"]),
        window=sizes["sliding_window"],
        query_pre_attn_scalar=_query_scalar(fields),
        local_rope=local_rope,
        global_rope=global_rope,
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6, least=0, most=1),
        context_length=sizes["max_position_embeddings"],
        multimodal=multimodal,
    )
    if problems:
        raise UsageError(f"this config can't be run: {'; '.join(dict.fromkeys(problems))}")
    return parsed


def hf_config_json(config: HfConfig) -> dict[str, Any]:
    """The `config.json` of a text model, in both schemas: older readers know only the first."""
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": len(config.layer_kinds),
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_width,
        "layer_types": [_layer_type(kind) for kind in config.layer_kinds],
        "sliding_window": config.window,
        "query_pre_attn_scalar": config.query_pre_attn_scalar,
        "rms_norm_eps": config.rms_norm_eps,
        "max_position_embeddings": config.context_length,
        **rope_json(config.local_rope, config.global_rope),
        **{name: allowed[0] for name, allowed in _FIXED.items() if name != "partial_rotary_factor"},
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": [1, 106],
    }


def _text_config(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The text model's part, and whether there are others."""
    kind = config.get("model_type")
    if kind == "gemma3_text":
        return config, False
    if kind != "gemma3":
        raise UsageError(
            f"model_type must be {' or '.join(MODEL_TYPES)}, got {shown(kind)}; "
            "jaxformer runs Gemma 3 only"
        )
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        raise UsageError(f"text_config of a gemma3 config must be an object, got {shown(text)}")
    if text.get("model_type", "gemma3_text") != "gemma3_text":
        raise UsageError(
            f"model_type of text_config must be gemma3_text, got {shown(text['model_type'])}"
        )
    return text, True


def _layer_kinds(fields: Fields, depth: int) -> tuple[str, ...]:
    pattern = fields.whole("sliding_window_pattern", 6, 1 << 10)
    by_pattern = [GLOBAL if (i + 1) % pattern == 0 else LOCAL for i in range(depth)]
    types = fields.get("layer_types")
    if types is None:
        # transformers writes this private copy beside layer_types and reads it nowhere.
        private = fields.get("_sliding_window_pattern", pattern)
        if private != pattern:
            fields.problem(
                f"_sliding_window_pattern {shown(private)} without layer_types has no effect in "
                "transformers: say sliding_window_pattern"
            )
        types = by_pattern
    if not isinstance(types, list):
        fields.problem(f"layer_types must be a list, got {shown(types)}")
    elif unknown := [kind for kind in types if not isinstance(kind, str) or kind not in KINDS]:
        fields.problem(f"layer_types must name {LOCAL} or {GLOBAL}, got {shown(unknown[0])}")
    elif len(types) != depth:
        fields.problem(f"layer_types must have {depth} entries, one per layer, not {len(types)}")
    elif fields.get("sliding_window_pattern") is not None and types != by_pattern:
        fields.problem(f"sliding_window_pattern {pattern} contradicts layer_types")
    else:
        return tuple(KINDS[kind] for kind in types)
    return ("local",) * depth


def _query_scalar(fields: Fields) -> int:
    value = fields.number("query_pre_attn_scalar", 256, least=0, most=1 << 20)
    if value < 1:
        fields.problem(
            f"query_pre_attn_scalar must be at least 1, got {value}: an early converter wrote the "
            "inverse square root; take the head width (27B: 168)"
        )
    elif value != int(value):
        fields.problem(f"query_pre_attn_scalar must be a whole number, got {value}")
    return int(value)


def _layer_type(kind: str) -> str:
    return next(hf for hf, ours in KINDS.items() if ours == kind)
