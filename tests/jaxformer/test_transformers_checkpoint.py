"""What transformers saves is read, and it loads what we write. Needs the extra `hf`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
import transformers
from checkpoints_for_tests import INDEX, TINY, assert_same, saved, tiny_params

from jaxformer.checkpoint.folder import open_checkpoint
from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import PRESETS, Config, Rope
from jaxformer.params import Params

TEXT = {
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 28,
    "num_hidden_layers": 7,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 4,
    "sliding_window": 5,
    "query_pre_attn_scalar": 4,
    "max_position_embeddings": 64,
}
STRETCHED = dataclasses.replace(TINY, global_rope=Rope(1_000_000, 8.0))


def randomised(model: Any) -> Any:
    """Norms start as zeros, which any mistake in their names would survive."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.to(torch.bfloat16)


def text_params(model: Any, config: Config) -> Params:
    """Parameters taken out of a torch model by attribute, so by no table of names."""

    def array(tensor: Any) -> np.ndarray:
        return tensor.detach().float().numpy()

    n, k, h, d = config.num_heads, config.num_kv_heads, config.head_width, config.width
    like = synthetic_params(config, 0, "float32")
    blocks = []
    for layer, block in zip(model.layers, like.blocks, strict=True):
        attn, mlp = layer.self_attn, layer.mlp
        key, value = (
            array(p.weight).reshape(k, h, d).transpose(0, 2, 1) for p in (attn.k_proj, attn.v_proj)
        )
        blocks.append(
            dataclasses.replace(
                block,
                pre_attention_norm=array(layer.input_layernorm.weight),
                attn=dataclasses.replace(
                    block.attn,
                    query=array(attn.q_proj.weight).reshape(n, h, d).transpose(0, 2, 1),
                    key_value=np.stack([key, value]),
                    query_norm=array(attn.q_norm.weight),
                    key_norm=array(attn.k_norm.weight),
                    output=array(attn.o_proj.weight).T.reshape(n, h, d),
                ),
                post_attention_norm=array(layer.post_attention_layernorm.weight),
                pre_ffw_norm=array(layer.pre_feedforward_layernorm.weight),
                mlp=dataclasses.replace(
                    block.mlp,
                    gating=np.stack([array(mlp.gate_proj.weight), array(mlp.up_proj.weight)]),
                    output=array(mlp.down_proj.weight).T,
                ),
                post_ffw_norm=array(layer.post_feedforward_layernorm.weight),
            )
        )
    tree = Params(array(model.embed_tokens.weight), tuple(blocks), array(model.norm.weight))
    return jax.tree.map(lambda a: jax.numpy.asarray(a, "bfloat16"), tree)


@pytest.mark.parametrize("max_shard_size", ["5GB", "4KB"])
def test_a_text_model_that_transformers_saved_is_read(tmp_path: Path, max_shard_size: str) -> None:
    model = randomised(transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**TEXT)))
    model.save_pretrained(tmp_path / "x", max_shard_size=max_shard_size)
    checkpoint = open_checkpoint(tmp_path / "x")
    assert (tmp_path / "x" / INDEX).exists() == (checkpoint.layout == "sharded")
    assert checkpoint.layout == ("single" if max_shard_size == "5GB" else "sharded")
    assert checkpoint.config == TINY
    assert_same(checkpoint.load(), text_params(model.model, TINY))


def test_a_multimodal_model_that_transformers_saved_is_read(tmp_path: Path) -> None:
    vision = transformers.SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    text = {**TEXT, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision.to_dict(), mm_tokens_per_image=4
    )
    model = randomised(transformers.Gemma3ForConditionalGeneration(config))
    model.save_pretrained(tmp_path / "x")
    checkpoint = open_checkpoint(tmp_path / "x")
    assert checkpoint.config == STRETCHED
    assert "(text part of a multimodal checkpoint)" in checkpoint.describe()
    assert_same(checkpoint.load(), text_params(model.model.language_model, STRETCHED))


@pytest.mark.parametrize("options", [{}, {"max_shard_bytes": 9_000}])
@pytest.mark.parametrize("config", [TINY, STRETCHED], ids=["plain", "stretched"])
def test_transformers_loads_what_we_write(tmp_path: Path, options: dict, config: Config) -> None:
    save_safetensors(tiny_params(), config, tmp_path / "x", **options)
    model, report = transformers.Gemma3ForCausalLM.from_pretrained(
        tmp_path / "x", output_loading_info=True
    )
    assert {name: value for name, value in report.items() if value} == {}
    assert model.dtype == torch.bfloat16
    assert_same(text_params(model.model, config), tiny_params())
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    model.save_pretrained(tmp_path / "again")
    again = open_checkpoint(tmp_path / "again")
    assert again.config == config
    assert_same(again.load(), tiny_params())


@pytest.mark.parametrize("model", PRESETS)
def test_transformers_understands_our_config(model: str) -> None:
    config = transformers.Gemma3TextConfig.from_dict(PRESETS[model].to_hf())
    expected = PRESETS[model]
    kinds = {"local": "sliding_attention", "global": "full_attention"}
    assert config.layer_types == [kinds[kind] for kind in expected.layer_kinds]
    for kind in ("local", "global"):
        rope = config.rope_parameters[kinds[kind]]
        assert rope["rope_theta"] == expected.rope(kind).base
        assert rope.get("factor", 1.0) == expected.rope(kind).factor
    assert Config.from_hf(config.to_dict()) == expected


def test_the_table_names_every_tensor_of_the_model(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**TEXT))
    import safetensors

    saved(tmp_path / "x")
    with safetensors.safe_open(tmp_path / "x" / "model.safetensors", "numpy") as file:
        ours = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    theirs = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert theirs.pop("lm_head.weight") == theirs["model.embed_tokens.weight"]
    assert ours == theirs
