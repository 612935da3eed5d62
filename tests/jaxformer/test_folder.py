"""Which kind of checkpoint a folder holds, and loading it in one dtype or another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from checkpoints_for_tests import TINY, assert_same, change_json, change_tensors, saved, tiny_params

from jaxformer.checkpoint import loading
from jaxformer.checkpoint.casting import convert
from jaxformer.checkpoint.folder import open_checkpoint, preset_of
from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.config import PRESETS
from jaxformer.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "x")


def test_a_checkpoint_says_what_it_holds(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.folder == folder
    assert (checkpoint.format, checkpoint.layout, checkpoint.dtype) == (
        "safetensors",
        "single",
        "bfloat16",
    )
    assert (checkpoint.config, checkpoint.vocab_rows, checkpoint.preset) == (TINY, 40, None)
    assert checkpoint.describe() == (
        "Hugging Face safetensors, 1 shard, 7 blocks of width 24, bfloat16"
    )


@pytest.mark.parametrize("model", PRESETS)
def test_a_preset_is_known_by_its_shapes(model: str) -> None:
    assert preset_of(PRESETS[model]) == model


# --- dtypes --------------------------------------------------------------------------------------


def test_float32_from_bfloat16_is_exact(folder: Path) -> None:
    assert_same(open_checkpoint(folder).load("float32"), tiny_params("float32"))


def test_bfloat16_from_float32_rounds_to_nearest_even_and_says_so(tmp_path: Path) -> None:
    # Every bfloat16 from 1 to 4, the ties between them, and what is next to either.
    halves = np.arange(0x3F80_0000, 0x4080_0000, 0x8000, dtype=np.uint32)
    values = np.concatenate([halves, halves + 1, halves - 1]).view(np.float32)[: 40 * 24]
    params = tiny_params("float32")
    odd = jnp.asarray(values.reshape(40, 24))
    exact = jax.tree.map(lambda a: a, params)
    object.__setattr__(exact, "embedding", odd)
    save_safetensors(exact, TINY, tmp_path / "x")
    said: list[str] = []
    checkpoint = open_checkpoint(tmp_path / "x")
    assert checkpoint.dtype == "float32"
    assert_same(checkpoint.load(), exact)
    loaded = checkpoint.load("bfloat16", progress=said.append)
    expected = jax.tree.map(lambda a: a.astype(jnp.bfloat16), exact)
    assert_same(loaded, expected)
    assert said[0].endswith("as bfloat16, rounded to nearest even from float32")
    even = np.asarray(loaded.embedding).view(np.uint16)[0, 1]  # of the tie above 1.0
    assert even == 0x3F80


def test_rounding_may_not_make_a_weight_infinite(tmp_path: Path) -> None:
    params = tiny_params("float32")
    object.__setattr__(params, "final_norm", jnp.full(24, np.finfo(np.float32).max))
    save_safetensors(params, TINY, tmp_path / "x")
    assert_same(open_checkpoint(tmp_path / "x").load(), params)
    with pytest.raises(UsageError, match=r"infinite weights \(as bfloat16\) in final_norm"):
        open_checkpoint(tmp_path / "x").load("bfloat16")


def test_float16_is_loaded_as_float32_when_asked(folder: Path) -> None:
    path = folder / "model.safetensors"
    narrow = {n: a.astype(np.float16) for n, a in safetensors.numpy.load_file(path).items()}
    safetensors.numpy.save_file(narrow, path)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.dtype == "float16"
    for dtype in (None, "bfloat16"):
        with pytest.raises(UsageError, match=r"weights are float16.*ask for dtype float32"):
            checkpoint.load(dtype)
    expected = jax.tree.map(lambda a: a.astype(jnp.float16).astype(jnp.float32), tiny_params())
    assert_same(checkpoint.load("float32"), expected)


def test_all_of_bfloat16_widens_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    wide = np.empty((1 << 16, 2), np.float32)[:, 0]
    convert(every, wide)
    np.testing.assert_array_equal(wide.view(np.uint32) >> 16, every.view(np.uint16))
    assert not (np.ascontiguousarray(wide).view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("dtype", ["float16", "int8", "fp32", ""])
def test_other_dtypes_are_refused(folder: Path, dtype: str) -> None:
    with pytest.raises(UsageError, match="dtype must be bfloat16 or float32, got"):
        open_checkpoint(folder).load(dtype)


@pytest.mark.parametrize("blocks", [0, -1, 8])
def test_a_depth_that_is_not_there_is_refused(folder: Path, blocks: int) -> None:
    with pytest.raises(UsageError, match=f"blocks must be from 1 to 7, got {blocks}"):
        open_checkpoint(folder).load(blocks=blocks)


def test_progress_tells_the_share_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000))
    monkeypatch.setattr(loading.time, "monotonic", lambda: next(clock))
    said: list[str] = []
    open_checkpoint(folder).load(progress=said.append)
    assert said[0] == f"reading {folder}: 0.00 GB as bfloat16"
    shares = [int(line.removeprefix("read ").removesuffix("%")) for line in said[1:]]
    assert len(shares) == 79 // 2  # a tensor a second, told every two
    assert shares == sorted(shares)
    assert 90 < shares[-1] <= 100


# --- folders that are none -----------------------------------------------------------------------


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        open_checkpoint(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_no_folder_is_refused(folder: Path) -> None:
    assert "does not exist: name the folder" in refusal(folder / "nothing")
    assert "is a file: name the folder" in refusal(folder / "model.safetensors")
    (folder / "empty").mkdir()
    assert "is empty: name the folder" in refusal(folder / "empty")


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "model.pt", "model.pth", "x.ckpt", "pytorch_model.bin.index.json"],
)
def test_pickled_weights_are_refused_unread(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    message = refusal(folder)
    assert f"has pickled weights ({name}), which run code" in message
    assert "it needs safetensors (model.safetensors, or shards and model.safe" in message


def test_pickled_weights_beside_safetensors_are_no_trouble(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert_same(open_checkpoint(folder).load(), tiny_params())


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "has no weights, neither safetensors" in refusal(folder)
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert "neither model.safetensors nor model.safetensors.index.json: fetch the index" in refusal(
        folder
    )


def test_both_formats_in_one_folder_are_refused(folder: Path) -> None:
    (folder / "_METADATA").write_text("{}")
    assert "has an Orbax checkpoint and safetensors" in refusal(folder)


WRONG_CONFIGS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (lambda path: path.unlink(), "has weights but no config.json"),
    "no JSON": (lambda path: path.write_text("{'a': 1}"), "config.json is not JSON"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), "config.json is not JSON"),
    "nested too deep": (lambda path: path.write_text("[" * 100_000), "config.json is not JSON"),
    "a number too long": (lambda path: path.write_text("9" * 5000), "config.json is not JSON"),
    "empty": (lambda path: path.write_text(""), "config.json is not JSON"),
    "a list": (lambda path: path.write_text("[1]"), "must hold a JSON object, it holds a list"),
    "a member twice": (
        lambda path: path.write_text('{"model_type": "gemma3_text", "model_type": "llama"}'),
        "config.json names model_type twice",
    ),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "config.json can't be read"),
    "another model": (
        lambda path: change_json(path, lambda config: config.update(model_type="llama")),
        "config.json: model_type must be gemma3_text or gemma3, got 'llama'",
    ),
    "quantised": (
        lambda path: change_json(path, lambda c: c.update(quantization_config={"bits": 4})),
        "load the checkpoint that is not quantised",
    ),
    "another size": (
        lambda path: change_json(path, lambda config: config.update(num_hidden_layers=8)),
        "layer_types must have 8 entries",
    ),
}


@pytest.mark.parametrize("case", WRONG_CONFIGS)
def test_a_wrong_config_is_refused(folder: Path, case: str) -> None:
    change, message = WRONG_CONFIGS[case]
    change(folder / "config.json")
    assert message in refusal(folder)


def test_a_depth_that_the_weights_do_not_have_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name in ("layer_types", "num_hidden_layers"):
        del config[name]
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 8}))
    assert "model.layers.7.input_layernorm.weight is missing" in refusal(folder)


def test_nothing_is_loaded_when_one_weight_is_bad(folder: Path) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors["model.norm.weight"][0] = np.nan

    change_tensors(folder / "model.safetensors", change)
    params = None
    with pytest.raises(UsageError, match="final_norm"):
        params = open_checkpoint(folder).load()
    assert params is None
