"""A tiny model's checkpoints, and how tests damage them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import Config, gemma3_layer_kinds
from jaxformer.params import Params, named_leaves

# Every size is another, and there are more blocks than the layer kinds' period.
TINY = Config(
    vocab_size=40,
    width=24,
    mlp_width=28,
    num_heads=6,
    num_kv_heads=3,
    head_width=4,
    layer_kinds=gemma3_layer_kinds(7),
    window=5,
    query_pre_attn_scalar=4,
    context_length=64,
)
INDEX = "model.safetensors.index.json"


def tiny_params(dtype: str = "bfloat16") -> Params:
    return synthetic_params(TINY, 0, dtype)


def saved(folder: Path, **options: Any) -> Path:
    """A folder of the tiny model, by our own writer."""
    save_safetensors(tiny_params(), TINY, folder, **options)
    return folder


def assert_same(ours: Params, expected: Params) -> None:
    """The same names, dtypes and bits."""
    pairs = zip(named_leaves(ours), named_leaves(expected), strict=True)
    for (name, a), (expected_name, b) in pairs:
        assert (name, a.dtype, a.shape) == (expected_name, b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), name
    assert jax.tree.structure(ours) == jax.tree.structure(expected)


def change_tensors(path: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    """Rewrite one safetensors file."""
    tensors = {n: np.array(a) for n, a in safetensors.numpy.load_file(path).items()}
    change(tensors)
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite one JSON file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
