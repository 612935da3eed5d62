"""Hugging Face folders: written and read, and every way in which one can be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from checkpoints_for_tests import (
    INDEX,
    TINY,
    assert_same,
    change_json,
    change_tensors,
    saved,
    tiny_params,
)

from jaxformer.checkpoint import safetensors as ours
from jaxformer.checkpoint.folder import open_checkpoint
from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import Config
from jaxformer.errors import UsageError

EMBEDDING = "model.embed_tokens.weight"
QUERY = "model.layers.3.self_attn.q_proj.weight"
SHARDED = 9_000  # bytes: several shards


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return saved(tmp_path / "single")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return saved(tmp_path / "sharded", max_shard_bytes=SHARDED)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def refusal(folder: Path) -> str:
    """What is said of a folder, when it is opened or when it is read."""
    with pytest.raises(UsageError) as caught:
        open_checkpoint(folder).load()
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


# --- written and read ----------------------------------------------------------------------------


def test_one_file_reads_back(single: Path) -> None:
    checkpoint = open_checkpoint(single)
    assert (checkpoint.format, checkpoint.layout) == ("safetensors", "single")
    assert checkpoint.config == TINY
    assert_same(checkpoint.load(), tiny_params())
    with safetensors.safe_open(single / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}  # without which older transformers refuse


def test_shards_read_back_and_none_is_larger_than_asked(sharded: Path) -> None:
    files = shards(sharded)
    assert len(files) > 3
    for file in files:
        tensors = safetensors.numpy.load_file(file)
        assert sum(t.nbytes for t in tensors.values()) <= SHARDED or len(tensors) == 1
    assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    index = json.loads((sharded / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in jax.tree.leaves(tiny_params()))
    checkpoint = open_checkpoint(sharded)
    assert checkpoint.layout == "sharded"
    assert checkpoint.describe() == (
        f"Hugging Face safetensors, {len(files)} shards, 7 blocks of width 24, bfloat16"
    )
    assert_same(checkpoint.load(), tiny_params())


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_the_prefixes_of_multimodal_checkpoints_are_read(tmp_path: Path, prefix: str) -> None:
    folder = saved(tmp_path / "x", prefix=prefix)
    assert_same(open_checkpoint(folder).load(), tiny_params())


def test_every_tensor_is_the_transform_of_facts(single: Path) -> None:
    """By indices, not by the table that wrote them."""
    tensors = safetensors.numpy.load_file(single / "model.safetensors")
    block = tiny_params().blocks[3]
    stem, width = "model.layers.3.", TINY.head_width
    query, key, value, output = (
        tensors[f"{stem}self_attn.{name}_proj.weight"] for name in ("q", "k", "v", "o")
    )
    for n in range(TINY.num_heads):
        rows = slice(n * width, (n + 1) * width)
        np.testing.assert_array_equal(block.attn.query[n], query[rows].T)
        np.testing.assert_array_equal(block.attn.output[n], output[:, rows].T)
    for k in range(TINY.num_kv_heads):
        rows = slice(k * width, (k + 1) * width)
        np.testing.assert_array_equal(block.attn.key_value[0, k], key[rows].T)
        np.testing.assert_array_equal(block.attn.key_value[1, k], value[rows].T)
    np.testing.assert_array_equal(block.mlp.gating[0], tensors[f"{stem}mlp.gate_proj.weight"])
    np.testing.assert_array_equal(block.mlp.gating[1], tensors[f"{stem}mlp.up_proj.weight"])
    np.testing.assert_array_equal(block.mlp.output, tensors[f"{stem}mlp.down_proj.weight"].T)
    np.testing.assert_array_equal(
        block.pre_ffw_norm, tensors[f"{stem}pre_feedforward_layernorm.weight"]
    )


def test_a_depth_reads_those_blocks_alone(sharded: Path) -> None:
    """The shards of later blocks aren't opened: they may as well be gone by then."""
    checkpoint = open_checkpoint(sharded)
    last = json.loads((sharded / INDEX).read_text())["weight_map"]
    needed = {f for n, f in last.items() if not n.startswith("model.layers.") or ".0." in n}
    for file in shards(sharded):
        if file.name not in needed:
            file.unlink()
    params = checkpoint.load(blocks=1)
    assert_same(params, synthetic_params(TINY, 0, blocks=1))


def test_padding_rows_of_the_vocabulary_are_left_out(single: Path) -> None:
    """262,208 rows are stored for 262,144 tokens; the rest of the model is tiny here."""
    narrow = Config(
        vocab_size=262_144,
        width=2,
        mlp_width=2,
        num_heads=1,
        num_kv_heads=1,
        head_width=2,
        layer_kinds=("local",),
        window=1,
        query_pre_attn_scalar=2,
    )
    params = synthetic_params(narrow, 0)
    folder = single.parent / "padded"
    save_safetensors(params, narrow, folder)

    def pad(tensors: dict[str, np.ndarray]) -> None:
        rows = np.full((64, 2), np.nan, ml_dtypes.bfloat16)  # nobody looks at them
        tensors[EMBEDDING] = np.concatenate([tensors[EMBEDDING], rows])

    change_tensors(folder / "model.safetensors", pad)
    assert f"{EMBEDDING} must be [262144, 2] by config.json, it is [262208, 2]" in refusal(folder)
    change_json(folder / "config.json", lambda config: config.update(vocab_size=262_208))
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.vocab_rows, checkpoint.config) == (262_208, narrow)
    assert_same(checkpoint.load(), params)


def test_other_parts_of_a_multimodal_checkpoint_are_left_out_and_said_so(single: Path) -> None:
    extra = np.full(3, np.nan, np.float32)
    names = ["vision_tower.x.weight", "model.vision_tower.y", "multi_modal_projector.z.weight"]
    change_tensors(single / "model.safetensors", lambda t: t.update(dict.fromkeys(names, extra)))
    checkpoint = open_checkpoint(single)
    assert "(text part of a multimodal checkpoint)" in checkpoint.describe()
    said: list[str] = []
    assert_same(checkpoint.load(progress=said.append), tiny_params())
    assert said[0] == "3 tensors of the vision and audio parts are left out"


def test_a_tied_output_matrix_is_accepted_if_it_is_the_embedding(single: Path) -> None:
    path = single / "model.safetensors"
    change_tensors(path, lambda t: t.update({"lm_head.weight": t[EMBEDDING]}))
    assert_same(open_checkpoint(single).load(), tiny_params())


MEASURE = """
import sys, threading, time
import jax
from pathlib import Path
from jaxformer.checkpoint.folder import open_checkpoint

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

jax.device_put(0.0)
checkpoint = open_checkpoint(sys.argv[1])
samples, done = [anonymous()], threading.Event()

def sample():
    while not done.is_set():
        samples.append(anonymous())
        time.sleep(0.001)

thread = threading.Thread(target=sample)
thread.start()
params = checkpoint.load()
done.set()
thread.join()
print(len(samples), max(samples) - samples[0])
"""


def test_loading_needs_no_more_than_the_parameters_and_one_tensor(tmp_path: Path) -> None:
    """Anonymous memory, sampled: 80 MB of weights, the largest tensor 34 MB of them.

    They are read largest first, and in parts: a few megabytes are the bound.
    """
    config = Config(
        vocab_size=32_768,
        width=512,
        mlp_width=4096,
        num_heads=4,
        num_kv_heads=1,
        head_width=128,
        layer_kinds=("local", "global", "local"),
        window=8,
        query_pre_attn_scalar=128,
    )
    params = synthetic_params(config, 0)
    save_safetensors(params, config, tmp_path / "x")
    # A process of its own: this one has freed memory to use again, which would hide what is used.
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "x"], capture_output=True, text=True, check=True
    )
    samples, peak = (int(word) for word in done.stdout.split())
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(params)]
    assert samples > 10
    assert peak <= sum(sizes) + (24 << 20) < sum(sizes) + max(sizes)


# --- refused to be written -----------------------------------------------------------------------


def test_a_folder_that_is_taken_is_left_alone(single: Path) -> None:
    before = {path.name: path.read_bytes() for path in single.iterdir()}
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        saved(single)
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        saved(single / "config.json")
    assert {path.name: path.read_bytes() for path in single.iterdir()} == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert_same(open_checkpoint(saved(tmp_path / "x")).load(), tiny_params())


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = safetensors.numpy.save_file

    def fails_second(tensors: dict, path: Path, metadata: dict) -> None:
        if "00002" in path.name:
            raise OSError(28, "No space left on device")
        write(tensors, path, metadata)

    monkeypatch.setattr(ours.safetensors.numpy, "save_file", fails_second)
    with pytest.raises(UsageError, match="can't be written: No space left on device"):
        saved(tmp_path / "x", max_shard_bytes=SHARDED)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": "decoder."}, "prefix must be one of"),
        ({"max_shard_bytes": 0}, "max_shard_bytes must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        saved(tmp_path / "x", **options)


def test_parameters_that_are_not_the_configs_are_refused(tmp_path: Path) -> None:
    cut = synthetic_params(TINY, 0, blocks=6)
    with pytest.raises(UsageError, match=r"blocks.6.pre_attention_norm is missing, should be \[24"):
        save_safetensors(cut, TINY, tmp_path / "x")
    mixed = jax.tree.map(lambda a: a.astype("float32") if a.ndim == 1 else a, tiny_params())
    with pytest.raises(UsageError, match="must all be bfloat16, or all float32"):
        save_safetensors(mixed, TINY, tmp_path / "x")
    assert os.listdir(tmp_path) == []


# --- refused to be read --------------------------------------------------------------------------

Change = Callable[[dict[str, np.ndarray]], object]
NAN, INF = np.array([np.nan, np.inf], ml_dtypes.bfloat16)


def poison(name: str, value: np.ndarray) -> Change:
    return lambda tensors: tensors[name].reshape(-1).__setitem__(-1, value)


WRONG_TENSORS: dict[str, tuple[Change, str]] = {
    "missing": (lambda t: t.pop(QUERY), f"{QUERY} is missing"),
    "unknown": (lambda t: t.update({"score.weight": t[QUERY]}), "score.weight is unknown"),
    "an eighth block": (
        lambda t: t.update({QUERY.replace("3", "7"): t[QUERY]}),
        "model.layers.7.self_attn.q_proj.weight is unknown",
    ),
    "control characters": (
        lambda t: t.update({"a\n\x1b[2Jb": t[QUERY]}),
        r"'a\n\x1b[2Jb' is unknown",
    ),
    "another prefix too": (
        lambda t: t.update({f"language_model.{QUERY}": t[QUERY]}),
        f"language_model.{QUERY} is {QUERY} under another prefix",
    ),
    "another prefix instead": (
        lambda t: t.update({f"language_model.{QUERY}": t.pop(QUERY)}),
        f"language_model.{QUERY} should begin with model., as others do",
    ),
    "transposed": (
        lambda t: t.update({EMBEDDING: np.ascontiguousarray(t[EMBEDDING].T)}),
        f"{EMBEDDING} must be [40, 24] by config.json, it is [24, 40]",
    ),
    "mixed": (
        lambda t: t.update({QUERY: t[QUERY].astype(np.float32)}),
        f"dtypes are mixed, float32 among bfloat16: {QUERY}",
    ),
    "quantised": (
        lambda t: t.update({QUERY: t[QUERY].astype(np.int8)}),
        f"dtype I8 is quantised, it must be one of bfloat16, float32, float16: {QUERY}",
    ),
    "eight bits": (
        lambda t: t.update({QUERY: t[QUERY].astype(ml_dtypes.float8_e4m3fn)}),
        "dtype F8_E4M3 is quantised",
    ),
    "double": (lambda t: t.update({QUERY: t[QUERY].astype(np.float64)}), "dtype F64 is unknown"),
    "NaN": (poison(QUERY, NAN), "NaN or infinite weights (as bfloat16) in blocks.3.attn.query"),
    "infinite": (poison(EMBEDDING, INF), "NaN or infinite weights (as bfloat16) in embedding"),
    "untied": (
        lambda t: t.update({"lm_head.weight": t[EMBEDDING] * 2}),
        f"lm_head.weight differs from {EMBEDDING}, which Gemma 3 ties",
    ),
    "untied by one bit": (
        lambda t: t.update({"lm_head.weight": -t[EMBEDDING] * t[EMBEDDING].astype(bool)}),
        "lm_head.weight differs",
    ),
    "tied, of another shape": (
        lambda t: t.update({"lm_head.weight": t[EMBEDDING][1:]}),
        "lm_head.weight must be [40, 24] by config.json, it is [39, 24]",
    ),
    "tied twice": (
        lambda t: t.update(
            {"lm_head.weight": t[EMBEDDING], "language_model.lm_head.weight": t[EMBEDDING]}
        ),
        "are the same tensor",
    ),
    "nothing": (lambda t: t.clear(), "there are no tensors in it"),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_wrong_tensors_are_refused(single: Path, case: str) -> None:
    change, message = WRONG_TENSORS[case]
    change_tensors(single / "model.safetensors", change)
    assert message in refusal(single)


def test_all_that_is_wrong_is_said_at_once(sharded: Path) -> None:
    first, second = shards(sharded)[:2]
    change_tensors(first, lambda t: t.update({"score.weight": np.zeros(1, np.float32)}))
    change_tensors(second, lambda t: t.popitem())
    change_tensors(second, lambda t: t.update({EMBEDDING: np.zeros((3, 24), ml_dtypes.bfloat16)}))
    shards(sharded)[-1].unlink()
    message = refusal(sharded)
    assert "which is not there" in message
    assert "score.weight is unknown" in message
    assert f"{INDEX} puts" in message
    assert f"{EMBEDDING} must be [40, 24]" in message


def test_a_long_list_is_folded(single: Path) -> None:
    extra = {f"adapter.{i}": np.zeros(1, ml_dtypes.bfloat16) for i in range(33)}
    change_tensors(single / "model.safetensors", lambda t: t.update(extra))
    message = refusal(single)
    assert message.count("is unknown") == 20
    assert message.endswith("; and 13 more")


def test_all_bad_numbers_are_named(single: Path) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        for i in range(7):
            tensors[f"model.layers.{i}.mlp.down_proj.weight"][-1, -1] = NAN

    change_tensors(single / "model.safetensors", change)
    message = refusal(single)
    assert all(f"blocks.{i}.mlp.output" in message for i in range(7))
    with pytest.raises(UsageError, match=r"in blocks.0.mlp.output:"):
        open_checkpoint(single).load(blocks=1)


def put(index: dict, tensor: str, file: object) -> None:
    index["weight_map"][tensor] = file


WRONG_INDEX: dict[str, tuple[Callable[[dict], object], str]] = {
    "a file that is not there": (
        lambda index: put(index, QUERY, "model-9.safetensors"),
        f"{INDEX} names model-9.safetensors, which is not there",
    ),
    "another file": (
        lambda index: put(index, QUERY, index["weight_map"][EMBEDDING]),
        f"{INDEX} puts {QUERY} in model-00001-of-",
    ),
    "a file elsewhere": (
        lambda index: put(index, QUERY, "../single/model.safetensors"),
        "which is no safetensors file of this folder",
    ),
    "a number": (lambda index: put(index, QUERY, 3), "in 3, which is no safetensors file"),
    "a tensor left out": (
        lambda index: index["weight_map"].pop(QUERY),
        f", not in {INDEX}",
    ),
    "a tensor nobody has": (
        lambda index: put(index, "a.weight", index["weight_map"][QUERY]),
        f"{INDEX} puts a.weight in ",
    ),
    "no map": (lambda index: index.pop("weight_map"), "must have a weight_map"),
    "an empty map": (lambda index: index.update(weight_map={}), "must have a weight_map"),
    "a list": (lambda index: index.update(weight_map=[EMBEDDING]), "must have a weight_map"),
}


@pytest.mark.parametrize("case", WRONG_INDEX)
def test_a_wrong_index_is_refused(sharded: Path, case: str) -> None:
    change, message = WRONG_INDEX[case]
    change_json(sharded / INDEX, change)
    assert message in refusal(sharded)


def test_a_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    first, second = shards(sharded)[:2]
    tensor = safetensors.numpy.load_file(first)[EMBEDDING]
    change_tensors(second, lambda t: t.update({EMBEDDING: tensor}))
    assert f"{EMBEDDING} is in {first.name} and in {second.name}" in refusal(sharded)


def test_a_name_twice_in_the_index_is_refused(sharded: Path) -> None:
    text = (sharded / INDEX).read_text()
    (sharded / INDEX).write_text(
        text.replace('"weight_map": {', f'"weight_map": {{"{QUERY}": "x",')
    )
    assert f"{INDEX} names {QUERY} twice" in refusal(sharded)


@pytest.mark.parametrize("keep", [0, 4, 100, 3000, -1])
def test_a_file_cut_short_is_refused(single: Path, keep: int) -> None:
    path = single / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors is damaged or cut short" in refusal(single)


def test_a_file_that_is_something_else_is_refused(sharded: Path) -> None:
    shards(sharded)[1].write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 9)
    message = refusal(sharded)
    assert f"{shards(sharded)[1].name} is damaged or cut short" in message
    # What was lost with it isn't listed as missing too.
    assert "is missing" not in message


def test_a_file_that_changes_after_it_was_opened_is_refused(single: Path) -> None:
    checkpoint = open_checkpoint(single)
    path = single / "model.safetensors"
    change_tensors(path, lambda t: t.update({QUERY: t[QUERY][1:]}))
    with pytest.raises(UsageError, match="has changed since it was opened"):
        checkpoint.load()
    path.unlink()
    with pytest.raises(UsageError, match="can't be read"):
        checkpoint.load()


def test_both_one_file_and_an_index_are_refused(sharded: Path, single: Path) -> None:
    (sharded / "model.safetensors").write_bytes((single / "model.safetensors").read_bytes())
    assert "remove the one that is stale" in refusal(sharded)
