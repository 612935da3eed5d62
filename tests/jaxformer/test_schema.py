"""The one table of tensors: shapes, the official names of all three layouts, and the transforms."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from checkpoints_for_tests import TINY

from jaxformer.checkpoint.official_names import LAYOUTS, PERIOD, is_text, place, tree_path
from jaxformer.checkpoint.schema import Rule, entries, letters
from jaxformer.config import PRESETS
from jaxformer.official import import_gemma, official_params
from jaxformer.params import abstract_params, named_leaves


@pytest.mark.parametrize("model", PRESETS)
def test_the_table_is_the_parameter_tree(model: str) -> None:
    config = PRESETS[model]
    leaves = named_leaves(abstract_params(config, "bfloat16"))
    sizes = letters(config)
    assert [(entry.ours, entry.shape(sizes)) for entry in entries(config.num_blocks)] == [
        (name, leaf.shape) for name, leaf in leaves
    ]


def test_shapes_of_the_hub_are_those_of_facts() -> None:
    sizes = letters(PRESETS["gemma3-27b"])
    shapes = {name: entry.rule.hf_shape(sizes) for entry in entries(1) for name in entry.hf}
    assert shapes == {
        "embed_tokens.weight": (262144, 5376),
        "layers.0.self_attn.q_proj.weight": (4096, 5376),
        "layers.0.self_attn.k_proj.weight": (2048, 5376),
        "layers.0.self_attn.v_proj.weight": (2048, 5376),
        "layers.0.self_attn.o_proj.weight": (5376, 4096),
        "layers.0.self_attn.q_norm.weight": (128,),
        "layers.0.self_attn.k_norm.weight": (128,),
        "layers.0.mlp.gate_proj.weight": (21504, 5376),
        "layers.0.mlp.up_proj.weight": (21504, 5376),
        "layers.0.mlp.down_proj.weight": (5376, 21504),
        "layers.0.input_layernorm.weight": (5376,),
        "layers.0.post_attention_layernorm.weight": (5376,),
        "layers.0.pre_feedforward_layernorm.weight": (5376,),
        "layers.0.post_feedforward_layernorm.weight": (5376,),
        "norm.weight": (5376,),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_official_names_are_the_packages_own(layout: str) -> None:
    import_gemma()
    from gemma.gm.ckpts import _checkpoint

    nested = official_params(abstract_params(TINY, "bfloat16"))["params"]
    trees = {
        "nested": lambda: nested,
        "flat": lambda: _checkpoint._nested_to_flat(nested),
        "stacked": lambda: _checkpoint._nested_to_stacked(nested, PERIOD),
    }
    official = {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(trees[layout]())
    }
    ours: dict[tuple[str, ...], tuple[int, ...]] = {}
    sizes = letters(TINY)
    for entry in entries(TINY.num_blocks):
        at = place(entry, layout)  # type: ignore[arg-type]
        stacked = () if at.index is None else (at.index + 1,)
        ours[tree_path(at.name, layout)] = (*stacked, *entry.shape(sizes))  # type: ignore[arg-type]
        assert is_text(at.name, layout)  # type: ignore[arg-type]
    assert ours == official


@pytest.mark.parametrize(
    "name", ["layer_0/attn/q_einsum", "layer_00/attn/q_einsum/w", "layer_0/attn/q_einsum/w/x", ""]
)
def test_other_names_are_no_tensors(name: str) -> None:
    assert not is_text(name, "nested")


def test_a_rule_splits_and_reorders_axes() -> None:
    rule = Rule.parse("D (N H) -> N H D")
    sizes = {"N": 2, "H": 3, "D": 5}
    assert rule.hf_shape(sizes) == (5, 6)
    theirs = np.arange(30).reshape(5, 6)
    ours = np.empty((2, 3, 5), theirs.dtype)
    rule.split_view(ours)[...] = theirs.reshape(5, 2, 3)
    for n, h, d in np.ndindex(2, 3, 5):
        assert ours[n, h, d] == theirs[d, n * 3 + h]


def test_a_shape_tells_the_letters_or_that_it_is_none() -> None:
    key_value = next(entry for entry in entries(1) if entry.ours.endswith("key_value"))
    assert key_value.bind((2, 4, 8, 16)) == {"K": 4, "D": 8, "H": 16}
    assert key_value.bind((3, 4, 8, 16)) is None
    assert key_value.bind((4, 8, 16)) is None
