"""The benchmark command: ceilings first, a table, one JSON document last; and its arithmetic."""

import json
from pathlib import Path

import pytest
from cases import SHORT

from jaxformer.__main__ import main
from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.commands.bench import _cell
from jaxformer.commands.timing import Timing, flops_per_token, read_per_token
from jaxformer.fast.layout import laid_out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "short"
    save_safetensors(synthetic_params(SHORT, 0, "float32"), SHORT, folder)
    return folder


def run(folder: Path, *arguments: str) -> int:
    return main(["bench", "--weights", str(folder), "--new", "2", "--repeat", "1", *arguments])


@pytest.mark.parametrize(
    "peers", ["none", pytest.param("official,transformers-float32", marks=pytest.mark.matrix)]
)
def test_ceilings_come_first_and_one_document_last(
    folder: Path, peers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "roofline.png"
    shape = ("--prompt-lengths", "16", "--batch", "1,2")
    assert run(folder, *shape, "--peers", peers, "--plot", str(plot)) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("ceilings: read ")
    document = json.loads(last)
    cells = document["cells"]
    assert [(c["batch"], c["prompt"]) for c in cells] == [(1, 16), (2, 16)]
    assert set(cells[0]["peers"]) == set(peers.split(",")) - {"none"}
    assert all(cell["ours"]["decode_tokens_per_s"] > 0 for cell in cells)
    assert all(cell["peak_bytes"] > document["bytes_per_step"] > 0 for cell in cells)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--peers", "torch"], "--peers must be one of official, transformers-bfloat16"),
        (["--prompt-lengths", "16,x"], "--prompt-lengths must be a whole number"),
        (["--batch", "0"], "--batch must be a whole number from 1"),
        (["--blocks", "2"], "--blocks is for synthetic weights"),
        (["--formulation", "slow"], "--formulation must be one of exact, fast"),
        (["--plot", "roofline.gif"], "the ending of --plot must be one of .png, .svg, .pdf"),
    ],
)
def test_bad_input_is_one_clear_line(
    folder: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *arguments) == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_ratios_are_medians_of_runs_side_by_side() -> None:
    ours = [Timing(1, [9, 1, 1]), Timing(2, [9, 2, 2]), Timing(4, [9, 4, 4])]
    peer = [Timing(3, [9, 2, 2]), Timing(4, [9, 8, 8]), Timing(4, [9, 4, 4])]
    cell = _cell(2, 10, {"ours": ours, "peer": peer})
    assert cell["peers"]["peer"]["ours_faster"] == {"prefill": 2, "decode": 2}
    assert cell["ours"] == {
        "prefill_tokens_per_s": 10,
        "first_token_s": 2,
        "decode_tokens_per_s": 1,
    }


def test_what_is_read_and_multiplied_is_the_same_in_either_layout() -> None:
    params = synthetic_params(SHORT, 0, "bfloat16")
    rows = laid_out(params)
    assert read_per_token(rows) == read_per_token(params)
    assert flops_per_token(rows) == flops_per_token(params)
    assert flops_per_token(params) == 2 * 3 * (64 * 32 * (4 + 4 + 2 * 2) + 3 * 64 * 128)
