"""The whole matrix of the main claim, on request: `pytest -m matrix`."""

from __future__ import annotations

import dataclasses
import gc
import itertools

import jax
import pytest
from cases import Case, assert_identical, tap_count

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import PRESETS
from parity.subjects.gemma.gemma_package import preset_config

LENGTHS = (1, 2, 16, 700)
# None stands for the full depth; the larger models run up to their first global block.
BLOCKS = {
    "gemma3-270m": None,
    "gemma3-1b": None,
    "gemma3-4b": 6,
    "gemma3-12b": 6,
    "gemma3-27b": 6,
}
# 27B in float32 fits 24 GB with a smaller vocabulary only: the embedding alone would take 5.6 GB
# beside 10 GB of blocks and the 8 GB in which XLA transposes them. Its logits aren't run.
VOCABULARY = {("gemma3-27b", "float32"): 16_384}


@pytest.mark.matrix
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("model", BLOCKS)
def test_official_and_ours_agree_in_every_bit(model: str, dtype: str) -> None:
    """Zero mismatches at every tap, for every length and batch; all cells are run, then judged."""
    config = PRESETS[model]
    blocks = BLOCKS[model] or config.num_blocks
    official = preset_config(model, blocks)
    if vocabulary := VOCABULARY.get((model, dtype)):
        config = dataclasses.replace(config, vocab_size=vocabulary)
        official = dataclasses.replace(official, num_embed=vocabulary)
    params = synthetic_params(config, 0, dtype, blocks=blocks)
    lengths = (*LENGTHS, 1100) if config.window == 1024 else LENGTHS
    failures = []
    for length, batch in itertools.product(lengths, (1, 3)):
        column = Case(config, params, (batch, length), blocks, official=official).run()
        print(f"{model} {dtype} T={length} B={batch}: {column.compared} taps", flush=True)
        try:
            assert_identical(column, tap_count(blocks, whole=blocks == config.num_blocks))
        except AssertionError as error:
            failures.append((length, batch, str(error)[:400]))
        jax.clear_caches()
        gc.collect()
    assert failures == []
