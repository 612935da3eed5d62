"""From a checkpoint folder to text: `jaxformer.load`, and `python -m jaxformer generate`."""

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from cases import SHORT, talkative
from tokenizers_for_tests import make_sentencepiece

import jaxformer
from jaxformer.__main__ import main
from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.errors import UsageError
from jaxformer.gemma import Gemma
from jaxformer.generate import generate
from jaxformer.sampling import Sampling

pytestmark = pytest.mark.quick

PROMPT = "hello the world"
RANDOM = Sampling(1.0, top_k=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    # In float32: rounding must not decide between tokens.
    save_safetensors(talkative(synthetic_params(SHORT, 0, "float32")), SHORT, folder)
    make_sentencepiece(folder, SHORT.vocab_size)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Gemma:
    return jaxformer.load(folder)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["generate", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_the_stream_is_the_text_in_pieces(model: Gemma) -> None:
    text = model.generate(PROMPT, max_new_tokens=40)
    pieces = list(model.stream(PROMPT, max_new_tokens=40))
    assert "".join(pieces) == text
    assert len(pieces) > 5


def test_the_same_seed_says_the_same(model: Gemma) -> None:
    def say(seed: int) -> str:
        return model.generate(PROMPT, max_new_tokens=20, sampling=RANDOM, seed=seed)

    assert say(3) == say(3)
    assert say(3) != say(4)


@pytest.mark.matrix
def test_a_batch_says_what_each_prompt_says_alone(model: Gemma) -> None:
    prompts = [PROMPT, "the", "0 1 2 3 4 5 6 7 8 9 " * 3]
    together = model.generate_batch(prompts, max_new_tokens=20)
    assert together == [model.generate(prompt, max_new_tokens=20) for prompt in prompts]


def test_fast_and_exact_say_the_same(folder: Path, model: Gemma) -> None:
    """In float32, where no two candidates lie within a rounding of each other."""
    exact = jaxformer.load(folder, formulation="exact")
    assert model.config.numerics.formulation == "fast"
    assert exact.generate(PROMPT, max_new_tokens=40) == model.generate(PROMPT, max_new_tokens=40)


def test_a_chat_template_in_the_folder_means_turns(folder: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat"
    shutil.copytree(folder, chat)
    (chat / "chat_template.jinja").write_text("{{ 1 / 0 }}")  # never run
    plain, turns = jaxformer.load(folder), jaxformer.load(chat)
    assert (plain.chat, turns.chat) == (False, True)
    assert turns.tokenizer is not None
    expected = turns.tokenizer.encode(turns.tokenizer.chat(PROMPT))
    assert turns.encode(PROMPT) == expected != plain.encode(PROMPT)
    assert not jaxformer.load(chat, chat=False).chat


def test_a_folder_without_tokenizer_still_loads(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("tokenizer.model"))
    with pytest.raises(UsageError, match=r"no tokenizer; name a tokenizer\.model"):
        jaxformer.load(bare).generate(PROMPT)
    named = jaxformer.load(bare, tokenizer=folder / "tokenizer.model")
    assert named.tokenizer is not None


def test_the_command_prints_the_text_and_says_what_it_loaded(
    folder: Path, model: Gemma, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(
        capsys, "--weights", folder, "--prompt", PROMPT, "--max-new-tokens", 20,
        "--temperature", 1, "--top-k", 200, "--seed", 5,
    )  # fmt: skip
    assert status == 0
    assert out == model.generate(PROMPT, max_new_tokens=20, sampling=RANDOM, seed=5) + "\n"
    assert "Hugging Face safetensors, 1 shard, 3 blocks of width 64, float32" in err


def test_several_prompts_are_one_batch(
    folder: Path, model: Gemma, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(
        capsys, "--weights", folder, "--prompt", "the", "--prompt", PROMPT, "--max-new-tokens", 9
    )
    first, second = model.generate_batch(["the", PROMPT], max_new_tokens=9)
    assert out == f"--- 1\n{first}\n--- 2\n{second}\n"


def test_a_dash_reads_the_prompt_from_stdin(
    folder: Path, model: Gemma, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PROMPT))
    _, out, _ = run(capsys, "--weights", folder, "--prompt", "-", "--max-new-tokens", 5)
    assert out == model.generate(PROMPT, max_new_tokens=5) + "\n"


def test_ids_in_ids_out(folder: Path, model: Gemma, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--weights", folder, "--tokens", "2,9;2,5,6", "--max-new-tokens", 3)
    rows = generate(model.params, [[2, 9], [2, 5, 6]], model.config, max_new_tokens=3)
    assert out == "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say either --prompt TEXT or --tokens"),
        (["--prompt", "a", "--tokens", "2"], "say either --prompt TEXT or --tokens"),
        (["--prompt", ""], "prompt is empty"),
        (["--prompt", "a", "--max-new-tokens", "0"], "--max-new-tokens must be a whole number"),
        (["--prompt", "a", "--max-new-tokens", "-4"], "--max-new-tokens must be a whole number"),
        (["--prompt", "a", "--max-new-tokens", "131072"], "context of 131072"),
        (["--prompt", "a", "--temperature", "hot"], "--temperature must be a number; got 'hot'"),
        (["--prompt", "a", "--temperature", "-1"], "temperature must be a number >= 0"),
        (["--prompt", "a", "--top-p", "2"], "top_p must lie in (0, 1]"),
        (["--prompt", "a", "--top-k", "0"], "--top-k must be a whole number from 1"),
        (["--prompt", "a", "--seed", "x"], "--seed must be a whole number"),
        (["--prompt", "a", "--dtype", "int8"], "--dtype must be one of bfloat16, float32"),
        (["--prompt", "a", "--formulation", "best"], "--formulation must be one of exact, fast"),
        (["--prompt", "a", "--model", "gemma3-1b"], "--model is for synthetic weights"),
        (["--prompt", "a", "--tokenizer", "nowhere"], "no tokenizer at nowhere"),
        (["--tokens", "2,512"], "token ids must lie in 1..511"),
        (["--tokens", "2,x"], "--tokens must be whole numbers"),
        (["--tokens", "2", "--stop", "x"], "--stop must be whole numbers between commas"),
        (["--tokens", "2", "--stop", "1;2"], "--stop takes one list of ids; got '1;2'"),
        (["--prompt", "a", "--nonsense"], "unrecognized arguments: --nonsense; see --help"),
    ],
)
def test_bad_input_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    status, out, err = run(capsys, "--weights", folder, *arguments)
    assert (status, out) == (2, "")
    assert complaint in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("jaxformer: error: ")


def test_a_tokenizer_of_another_model_is_refused_before_weights_are_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_sentencepiece(tmp_path, 800)
    status, _, err = run(capsys, "--weights", folder, "--prompt", "a", "--tokenizer", other)
    assert status == 2
    assert "has 800 pieces, the model 512 embedding rows" in err.splitlines()[-1]
    assert "reading" not in err


def test_a_folder_that_is_no_checkpoint_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "llama"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    status, _, err = run(capsys, "--weights", other, "--prompt", "a")
    assert status == 2
    assert "llama" in err.splitlines()[-1]
    assert len(err.splitlines()) == 1
