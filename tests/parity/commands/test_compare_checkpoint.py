"""The commands on a checkpoint folder: weights, prompts, the cache, and transformers beside."""

import json
import shutil
from pathlib import Path

import pytest
from cases import SHORT
from tokenizers_for_tests import make_sentencepiece

from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.tokenizer import load_tokenizer
from parity.commands import compare
from parity.commands import record as record_command
from parity.explain import __main__ as explain

PROMPT = "the quick brown fox jumps over the lazy dog, then the other fox jumps"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "short"
    save_safetensors(synthetic_params(SHORT, 0, "float32"), SHORT, folder)
    make_sentencepiece(folder, SHORT.vocab_size)
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def document() -> dict:
    return json.loads(Path("r/comparison.json").read_text())


def test_a_prompt_on_a_checkpoint_is_identical_to_the_official_package(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(folder), "--prompt", PROMPT, "--no-variants", "--out", "r"]
    assert compare.main(arguments) == 0
    out, err = capsys.readouterr()
    assert "\nours  IDENTICAL\n" in out
    assert "Hugging Face safetensors, 1 shard, 3 blocks of width 64, float32" in err
    manifest = document()["manifest"]
    assert manifest["tokens"] == [load_tokenizer(folder).encode(PROMPT)]
    assert (manifest["model"], manifest["dtype"]) == ("custom", "float32")
    assert manifest["weights"] == str(folder)


def test_prompts_of_two_lengths_are_padded_at_the_end(folder: Path) -> None:
    arguments = ["--weights", str(folder), "--prompt", "the", "--prompt", "hello the world"]
    assert compare.main([*arguments, "--no-variants", "--blocks", "1", "--out", "r"]) == 0
    first, second = document()["manifest"]["tokens"]
    assert len(first) == len(second)
    assert first[-1] == 0
    assert 0 not in second


def test_the_cache_is_held_against_the_run_without(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A block of each kind: a ring, and a cache of every position.
    arguments = ["--weights", str(folder), "--blocks", "2", "--seq-len", "12", "--cached"]
    assert compare.main([*arguments, "--out", "r"]) == 0
    assert "\ncached  ROUNDING from blocks.0." in capsys.readouterr().out
    assert Path("r/summary.md").read_text().startswith("**Parity holds, up to rounding: cached ")
    found = document()
    assert [column["name"] for column in found["columns"]] == ["cached"]
    assert found["columns"][0]["compared"] == len(found["columns"][0]["taps"]) == 41
    assert found["manifest"]["reference"] == "jaxformer"


def test_both_references_stand_in_one_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--weights",
        str(folder),
        "--seq-len",
        "12",
        "--reference",
        "flax,hf",
        "--blocks",
        "1",
    ]
    assert compare.main([*arguments, "--no-variants", "--out", "r"]) == 0
    out = capsys.readouterr().out
    assert "\nours     IDENTICAL\n" in out
    assert "\nours/hf  ROUNDING from " in out
    assert "\nflax/hf  ROUNDING from " in out
    found = document()
    gemma, hf = found["manifest"]["reference"].split(", ")
    assert gemma.startswith("gemma 3.")
    assert hf.startswith("transformers 5.")
    assert f"columns ending in /hf are held against {hf}" in found["notes"]
    assert found["columns"][1]["fields"]["norm_dtype"] == "float32"
    assert {column["compared"] for column in found["columns"]} == {21}


@pytest.mark.matrix
def test_explain_reads_a_checkpoint_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--weights", str(folder), "--blocks", "1", "--variant", "eps:rms_norm_eps=1e-3"]
    explain.main(arguments)
    assert "EXPLAINED(rms_norm_eps=1e-06)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--prompt", ""], "prompt is empty"),
        (["--prompt", "a", "--tokens", "2"], "--tokens and --prompt are two ways"),
        (["--prompt", "a", "--seq-len", "4"], "--seq-len is for random tokens"),
        (["--tokens", "2", "--tokenizer", "x"], "--tokenizer is for --prompt"),
        (["--prompt", "a", "--tokenizer", "nowhere"], "no tokenizer at nowhere"),
        (["--model", "gemma3-1b"], "holds custom, --model says gemma3-1b"),
        (["--blocks", "4"], "--blocks must be a whole number from 1 to 3, as custom has 3"),
        (["--cached", "--reference", "hf"], "--cached is held against the uncached run"),
        (["--cached", "--tokens", "2,5,0"], "--cached takes rows of one length, without padding"),
        (["--reference", "hf,flax"], "--reference must be flax, hf, flax,hf or a trace folder"),
    ],
)
def test_bad_input_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert compare.main(["--weights", str(folder), "--out", "r", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err.splitlines()[-1]
    assert not Path("r").exists()


def test_a_prompt_longer_than_the_context_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    shutil.copytree(folder, small)
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8}))
    assert compare.main(["--weights", str(small), "--prompt", PROMPT, "--out", "r"]) == 2
    assert "tokens, the model's context is 8" in capsys.readouterr().err.splitlines()[-1]


def test_a_prompt_needs_a_tokenizer(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--prompt", "a", "--out", "r"]) == 2
    assert "--prompt needs a tokenizer" in capsys.readouterr().err


def test_a_damaged_checkpoint_ends_the_command_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in folder.iterdir():
        size = file.stat().st_size
        cut = 100 if file.suffix == ".safetensors" else 0
        (damaged / file.name).write_bytes(file.read_bytes()[: size - cut])
    assert record_command.main(["--weights", str(damaged), "--out", "t"]) == 2
    assert "model.safetensors" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("t").exists()
