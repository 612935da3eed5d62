"""Synthetic weights: the same bits everywhere, in both dtypes, and trained-like gains."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SEVEN, SMALL

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import PRESETS
from jaxformer.params import named_leaves


def digest(tree: object) -> str:
    total = hashlib.blake2b(digest_size=8)
    for name, leaf in named_leaves(tree):  # type: ignore[arg-type]
        total.update(name.encode() + np.asarray(leaf).tobytes())
    return total.hexdigest()


def test_bits_are_pinned() -> None:
    """Made on another machine or NumPy, or after a change of the recipe, this would differ."""
    assert digest(synthetic_params(SEVEN, 0, "bfloat16")) == "df28241ab745bf98"
    assert digest(synthetic_params(SEVEN, 1, "float32")) == "289e130e4da7c7be"


def test_float32_holds_the_same_values_widened() -> None:
    narrow, wide = (synthetic_params(SMALL, 3, dtype) for dtype in ("bfloat16", "float32"))
    for (name, a), (_, b) in zip(named_leaves(narrow), named_leaves(wide), strict=True):
        np.testing.assert_array_equal(
            np.asarray(a.astype(jnp.float32)), np.asarray(b), err_msg=name
        )


def test_a_block_does_not_depend_on_how_many_there_are() -> None:
    whole, cut = synthetic_params(SMALL, 0), synthetic_params(SMALL, 0, blocks=2)
    assert len(cut.blocks) == 2
    for a, b in zip(jax.tree.leaves(whole.blocks[:2]), jax.tree.leaves(cut.blocks), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tensors_differ_from_each_other_and_by_seed() -> None:
    first, second = (dict(named_leaves(synthetic_params(SMALL, seed))) for seed in (0, 1))
    assert bool((first["blocks.0.attn.query"] != second["blocks.0.attn.query"]).any())
    assert bool((first["blocks.0.attn.query"] != first["blocks.1.attn.query"]).any())


def test_large_tensors_have_no_seam_between_chunks() -> None:
    """270M's embedding spans 41 chunks: moments of each part are those of the whole."""
    table = np.asarray(synthetic_params(PRESETS["gemma3-270m"], 0, "float32", blocks=1).embedding)
    parts = np.array_split(table.reshape(-1), 16)
    scale = table.shape[1] ** -0.5
    # 10 M samples each: the mean's standard error is scale / 3,000, the deviation's smaller.
    assert max(abs(part.mean()) for part in parts) < 5 * scale / np.sqrt(parts[0].size)
    assert max(abs(part.std() / scale - 1) for part in parts) < 2e-3
    assert not np.array_equal(parts[0], parts[1])


def test_output_gains_fall_with_depth() -> None:
    params = synthetic_params(PRESETS["gemma3-270m"], 0)
    fan_in = 4 * 256
    gains = [
        float(np.asarray(block.attn.output, np.float32).std() * fan_in**0.5)
        for block in params.blocks
    ]
    assert np.mean(gains[:3]) > 10 * np.mean(gains[10:])


def test_tokens_start_with_bos_and_hold_no_special_id() -> None:
    tokens = synthetic_tokens(PRESETS["gemma3-1b"], 3, 1000, 0)
    assert tokens.shape == (3, 1000)
    assert tokens.dtype == np.int32
    assert tokens[:, 0].tolist() == [2, 2, 2]
    assert tokens[:, 1:].min() >= 3
    assert tokens[:, 1:].max() < 262_144
    assert len(np.unique(tokens)) > 2900
    assert synthetic_tokens(PRESETS["gemma3-1b"], 1, 1, 0).tolist() == [[2]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, "float16"), "bfloat16 or float32"), ((-1, "float32"), "seed must be at least 0")],
)
def test_unusable_requests_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic_params(SMALL, *arguments)
