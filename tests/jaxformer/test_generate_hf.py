"""Generation against transformers' own `generate`, on the folder that our writer makes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from cases import SHORT, talkative

from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.generate import generate

NEW = 200


@pytest.mark.parametrize("length", [5, 40])
def test_greedy_tokens_are_those_of_transformers(tmp_path: Path, length: int) -> None:
    params = talkative(synthetic_params(SHORT, 1, "float32"))
    save_safetensors(params, SHORT, tmp_path / "model")
    theirs = transformers.Gemma3ForCausalLM.from_pretrained(
        tmp_path / "model", dtype=torch.float32, attn_implementation="eager"
    )
    theirs.generation_config.eos_token_id = None
    prompt = synthetic_tokens(SHORT, 1, length, 3)
    said = theirs.generate(
        torch.tensor(prompt.astype(np.int64)), max_new_tokens=NEW, do_sample=False
    )[0, length:].tolist()
    assert len(said) == NEW
    assert len(set(said)) > 20
    assert generate(params, prompt.tolist(), SHORT, max_new_tokens=NEW, chunk=16)[0] == said
