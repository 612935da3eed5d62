"""The command from outside: what it prints, what it writes, and how it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pandas as pd
import pytest
from documents_for_tests import KEPT, headings, phrases

from parity.commands import compare
from parity.commands import record as record_command
from parity.subjects.gemma import inputs

SMALL_RUN = ["--model", "tiny", "--blocks", "2"]
# Where what is rounded is the point: the shapes of a real model.
REAL_RUN = ["--model", "gemma3-270m", "--blocks", "2"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_the_table_and_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    status = compare.main([*REAL_RUN, "--out", "report", "--certify"])
    out, err = capsys.readouterr()
    assert status == 0
    assert out.startswith("verified: 41 of 41 taps compared\n")
    table = lines_of(out)[1:]
    split = ["gating=split", "local", "gain"]  # the next column is folded into a second table
    assert table[0] == ["block", "elements", "ours", "eps=1e-5", *split]
    assert [row[:3] for row in table[1:3]] == [["0", "10240", "0"], ["1", "10240", "0"]]
    assert "\nours            IDENTICAL\neps=1e-5        IDENTICAL\n" in out
    assert "\ngating=split    ROUNDING from blocks.0.mlp.gate\n" in out
    assert "official certified: its taps changed 0 of 10240 output elements" in out
    assert "ours certified: its taps changed 0 of 10240 output elements" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "official: running, 41 taps" in err
    assert out.index("not seen by this run:") < out.index("  sliding window: no row is longer")

    assert sorted(os.listdir("report")) == [
        "blocks.csv",
        "comparison.json",
        "divergence.png",
        "divergence.svg",
        "errors.png",
        "errors.svg",
        "quantiles.png",
        "quantiles.svg",
        "report.html",
        "summary.md",
        "taps.csv",
        "tokens.png",
        "tokens.svg",
        "ulp.png",
        "ulp.svg",
    ]
    assert os.listdir() == ["report"]
    document = json.loads(Path("report/comparison.json").read_text())
    manifest = document["manifest"]
    assert document["schema"] == 1
    assert {key: manifest[key] for key in ("model", "blocks", "dtype", "tokens_shape")} == {
        "model": "gemma3-270m",
        "blocks": 2,
        "dtype": "bfloat16",
        "tokens_shape": [1, 16],
    }
    assert {"numerics", "versions", "backend", "reference", "weights"} <= set(manifest)
    assert len(document["blind_spots"]) == 3
    assert document["environment"] == []
    names = ["ours", "eps=1e-5", "gating=split", "gating=stacked"]
    assert [column["name"] for column in document["columns"]] == names
    assert document["columns"][1]["fields"] == {"rms_norm_eps": 1e-5}
    assert len(document["columns"][0]["taps"]) == 41
    taps = pd.read_csv("report/taps.csv")
    assert len(taps) == 4 * 41
    assert taps["mismatched"].sum() == sum(
        tap["mismatched"] for column in document["columns"] for tap in column["taps"]
    )
    blocks = pd.read_csv("report/blocks.csv")
    assert [name.split()[-1] for name in blocks.columns][:7] == table[0]
    assert blocks["ours"].tolist() == [0, 0]
    summary = Path("report/summary.md").read_text()
    assert summary.startswith("**Parity holds: ours IDENTICAL**\n")
    assert "| block | elements | ours |" in summary
    assert Path("report/divergence.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("markdown", "verified: 21 of 21 taps compared\n\n| block | elements | ours |"),
        ("csv", "block,elements,ours"),
        ("json", "{"),
    ],
)
def test_formats_on_stdout(form: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL_RUN, "--blocks", "1", "--no-variants", "--inject", "none"]
    assert compare.main([*arguments, "--format", form, "--seq-len", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(start)
    if form == "json":
        assert json.loads(out)["columns"][0]["name"] == "ours"
    # The default place is a fresh folder of its own.
    assert len(os.listdir("reports/runs")) == 1


def test_one_tap_by_glob_gives_a_row_per_tap(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL_RUN, "--taps", "blocks.1.mlp.*", "--no-variants", "--out", "r"]
    assert compare.main(arguments) == 0
    table = lines_of(capsys.readouterr().out)[1:]
    assert table[0] == ["tap", "elements", "ours"]
    assert [row[0] for row in table[1:4]] == [f"blocks.1.mlp.{n}" for n in ("gate", "up", "output")]


def test_taps_blocks_means_block_outputs_alone() -> None:
    assert compare.main([*SMALL_RUN, "--taps", "blocks", "--no-variants", "--out", "r"]) == 0
    taps = json.loads(Path("r/comparison.json").read_text())["columns"][0]["taps"]
    assert [tap["tap"] for tap in taps] == ["embed", "blocks.0.output", "blocks.1.output"]


def test_a_difference_of_ours_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The official side runs on tokens of its own: the command must notice, and say where."""
    genuine = inputs.Inputs.official

    def other_tokens(given: inputs.Inputs):
        source = genuine(given)
        source.args = (given.params, jnp.flip(given.tokens, axis=1))
        return source

    monkeypatch.setattr(inputs.Inputs, "official", other_tokens)
    arguments = [*SMALL_RUN, "--blocks", "1", "--no-variants", "--out", "r"]
    assert compare.main(arguments) == 1
    out = capsys.readouterr().out
    assert "\nours  UNJUDGED at embed\n" in out
    assert "or the pieces aren't what ran" in " ".join(out.split())
    assert Path("r/summary.md").read_text().startswith("**Parity is not decided: ours ")


@pytest.mark.matrix
def test_a_failed_certificate_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from parity.trace.recorder import TapRecorder

    class Perturbing(TapRecorder):
        def __call__(self, name, value):
            return super().__call__(name, value) * 1.0078125

    monkeypatch.setattr("parity.sides.function.TapRecorder", Perturbing)
    arguments = [*SMALL_RUN, "--blocks", "1", "--no-variants", "--certify", "--out", "r"]
    assert compare.main(arguments) == 1


def test_an_extra_variant_is_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    variant = "f32 norm:norm_dtype=float32,rms_norm_eps=1e-7"
    arguments = [*SMALL_RUN, "--blocks", "1", "--no-variants", "--inject", "none", "--out", "r"]
    assert compare.main([*arguments, "--variant", variant]) == 0
    column = json.loads(Path("r/comparison.json").read_text())["columns"][1]
    assert column["name"] == "f32 norm"
    assert column["fields"] == {"norm_dtype": "float32", "rms_norm_eps": 1e-7}
    assert column["first_divergence"] == "blocks.0.pre_attention_norm"


@pytest.mark.matrix
def test_local_errors_stand_beside_free_ones(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL_RUN, "--blocks", "3", "--no-variants", "--inject", "blocks", "--out", "r"]
    arguments += ["--oracle", "none"]
    assert compare.main([*arguments, "--variant", "eps:rms_norm_eps=1e-3"]) == 0
    table = lines_of(capsys.readouterr().out)[1:]
    assert table[0] == ["block", "elements", "ours", "local", "gain", "eps", "local", "gain"]
    assert [row[2:5] for row in table[1:4]] == [["0", "0", "-"]] * 3
    assert table[1][5] == table[1][6] != "0"
    ours, eps = json.loads(Path("r/comparison.json").read_text())["columns"]
    assert {tap["local_mismatched"] for tap in ours["taps"]} == {0}
    last = eps["taps"][-1]
    assert last["tap"] == "blocks.2.output"
    assert last["inherited_rel_l2"] > 0
    assert last["gain"] > 0


def test_everything_is_zero_on_the_unmodified_model(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL_RUN, "--no-variants", "--inject", "both", "--repeat", "2"]
    assert compare.main([*arguments, "--check-weights", "--out", "r"]) == 0
    out = capsys.readouterr().out
    assert "noise floor: 0 at all 41 taps (2 more runs of each side, cpu)" in out
    assert "weights: 24 tensors agree in name, shape and dtype; bits: both sides read one" in out
    (ours,) = json.loads(Path("r/comparison.json").read_text())["columns"]
    for figure in ("mismatched", "local_mismatched", "stage_mismatched", "floor_mismatched"):
        assert {tap[figure] for tap in ours["taps"]} == {0}, figure
    assert {tap["status"] for tap in ours["taps"]} == {"identical"}


def test_a_stacked_einsum_is_rounding_and_an_epsilon_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*REAL_RUN, "--blocks", "3", "--no-variants", "--out", "r"]
    variants = ["--variant", "stacked:gating=stacked", "--variant", "eps:rms_norm_eps=1e-3"]
    assert compare.main([*arguments, *variants]) == 0
    out = capsys.readouterr().out
    assert "\nstacked  ROUNDING from blocks.0.mlp.gate\n" in out
    assert "\neps      DIVERGED at blocks.0." in out
    assert "another formula" in out
    shown = (KEPT / "compare.txt").read_text(encoding="utf-8")
    assert phrases(shown) - phrases(out) == set()
    assert {"block", "elements", "ours", "local", "gain"} <= headings(shown) & headings(out)
    _, stacked, eps = json.loads(Path("r/comparison.json").read_text())["columns"]
    assert (stacked["diverged_at"], eps["diverged_at"][-4:]) == (None, "norm")
    taps = {tap["tap"]: tap for tap in stacked["taps"]}
    gate, later = taps["blocks.0.mlp.gate"], taps["blocks.2.pre_attention_norm"]
    assert gate["status"] == later["status"] == "rounding"
    assert gate["stage_mismatched"] == gate["local_mismatched"] == gate["mismatched"] > 0
    assert gate["stage_oracle_ratio"] == pytest.approx(1, abs=0.05)
    assert 0 < gate["stage_bound_share"] <= 1
    assert later["stage_mismatched"] == 0
    assert later["reason"].startswith("inherited from blocks.0.mlp.gate; ")
    assert later["oracle_ratio"] == pytest.approx(1, abs=0.05)
    assert taps["blocks.2.output"]["gain"] > 1


def test_weights_that_do_not_fit_end_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from parity.subjects.gemma import gemma_package

    genuine = gemma_package.given_weights

    def misnamed(params):
        weights = genuine(params)
        weights["layer_0/attn/query/w"] = weights.pop("layer_0/attn/q_einsum/w")
        return weights

    monkeypatch.setattr(gemma_package, "given_weights", misnamed)
    complaint = refused([*SMALL_RUN, "--check-weights", "--out", "r"], capsys)
    assert "weights: 2 problems in 24 tensors" in complaint
    assert "layer_0/attn/q_einsum/w: ours has none" in complaint
    assert "layer_0/attn/query/w: the reference has none" in complaint


def test_a_recorded_trace_is_a_reference_like_any_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Model, input and weights are then taken from the trace."""
    recorded = [*SMALL_RUN, "--source", "flax", "--tokens", "2,5,6;2,9,0", "--out", "golden"]
    assert record_command.main(recorded) == 0
    assert capsys.readouterr().out == "golden\n"
    assert compare.main(["--reference", "golden", "--no-variants", "--out", "r"]) == 0
    document = json.loads((tmp_path / "r" / "comparison.json").read_text())
    assert document["manifest"]["reference"].startswith("gemma 3.3")
    assert document["manifest"]["tokens"] == [[2, 5, 6], [2, 9, 0]]
    assert document["columns"][0]["compared"] == 41


@pytest.mark.matrix
def test_logits_are_judged_by_the_tokens_they_choose(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Full depth: the faulty column's impact is told; that of equal logits is none."""
    arguments = ["--model", "tiny", "--taps", "blocks", "--no-variants", "--out", "r"]
    arguments += ["--inject", "none", "--oracle", "none"]
    assert compare.main([*arguments, "--variant", "eps:rms_norm_eps=1e-3"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[21].split()[:3] == ["logits", "4194304", "0"]
    ours, eps = json.loads(Path("r/comparison.json").read_text())["columns"]
    assert ours["impact"] is None
    assert eps["impact"]["positions"] == 16
    assert eps["impact"]["max_logit_error"] > 0
    said = " ".join(out.split())
    assert eps["impact"]["verdict"] in said


def test_another_environment_is_told_before_any_figure(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(golden, tmp_path / "older")
    path = tmp_path / "older" / "manifest.json"
    document = json.loads(path.read_text())
    document["manifest"]["versions"]["jax"] = "0.4.0"
    document["manifest"]["backend"] = "tpu"
    path.write_text(json.dumps(document))
    assert compare.main(["--reference", "older", "--no-variants", "--out", "r"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("environment: versions differ: reference {'jax': '0.4.0'")
    assert second == "environment: backend differ: reference tpu, ours cpu"


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces") / "golden"
    assert record_command.main([*SMALL_RUN, "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--tokens", "2,7"], "tokens: "),
        (["--seed", "1", "--weights", "synthetic:1"], "weights_hash: "),
        (["--dtype", "float32"], "dtype: "),
        (["--blocks", "1"], "blocks: 2 against 1"),
        (["--model", "gemma3-1b"], 'model: "tiny" against "gemma3-1b"'),
    ],
)
def test_a_trace_of_something_else_is_refused(
    golden: Path, arguments: list[str], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = refused(["--reference", str(golden), *arguments], capsys)
    assert "these runs can't be compared, the reference differs in" in complaint
    assert field in complaint


def test_a_truncated_trace_is_refused(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(golden, tmp_path / "cut")
    shard = next((tmp_path / "cut").glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])
    assert "truncated or damaged" in refused(["--reference", "cut"], capsys, leaves=["cut"])


def refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], leaves: list[str] | None = None
) -> str:
    """Run; expect status 2, one line on stderr besides progress, and nothing on disk."""
    before = sorted(os.listdir()) if leaves is None else leaves
    capsys.readouterr()
    assert compare.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    complaints = [line for line in err.splitlines() if not line.startswith("[")]
    assert len(complaints) == 1
    assert complaints[0].startswith("parity.compare: error: ")
    assert sorted(os.listdir()) == before
    return complaints[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "gemma3-2b"], "--model must be one of tiny, gemma3-270m, "),
        (["--blocks", "27"], "--blocks must be a whole number from 1 to 26, as gemma3-1b has 26"),
        (["--blocks", "0"], "--blocks must be a whole number from 1 to 26"),
        (["--blocks", "-3"], "--blocks must be a whole number"),
        (["--blocks", "few"], "got 'few'"),
        (["--tokens", "2,262144"], "tokens must lie in 0..262143, the vocabulary; got 262144"),
        (["--tokens", "2,-1"], "got -1"),
        (["--tokens", "2,99999999999999999999"], "tokens must"),
        (["--tokens", "2,five"], "--tokens must be whole numbers"),
        (["--tokens", "2,5.0"], "--tokens must be whole numbers"),
        (["--tokens", ""], "--tokens must be whole numbers"),
        (["--tokens", "2,5;2"], "rows must be of one length, got [2, 1]"),
        (["--tokens", "2,5", "--seq-len", "2"], "--seq-len is for random tokens"),
        (["--seq-len", "0"], "--seq-len must be a whole number from 1"),
        (["--batch", "-1"], "--batch must be a whole number from 1"),
        (["--seed", "-1"], "--seed must be a whole number from 0"),
        (["--weights", "random"], "--weights must be synthetic, synthetic:SEED or the folder of a"),
        (["--weights", "synthetic:x"], "--weights synthetic:SEED must be a whole number"),
        (["--dtype", "float16"], "--dtype must be one of bfloat16, float32; got 'float16'"),
        (["--numerics", "loose"], "--numerics must be one of default, strict"),
        (["--format", "xml"], "--format must be one of table, markdown, csv, json"),
        (["--variant", "a:epsilon=1"], "no numerics field 'epsilon'; there are rms_norm_eps, "),
        (["--variant", "a:gating=fusd"], "gating must be one of fused, split, stacked"),
        (["--variant", "a:rms_norm_eps=tiny"], "rms_norm_eps must be a finite number"),
        (["--variant", "a:rms_norm_eps=nan"], "rms_norm_eps must be a finite number"),
        (["--variant", "rms_norm_eps=1e-5"], "--variant must read NAME:field=value"),
        (["--variant", "ours:gating=split"], "two columns are called 'ours'"),
        (["--variant", "a:gating=split,gating=fused"], "each field once"),
        (
            ["--reference", "torch"],
            "--reference must be flax, hf, flax,hf or a trace folder",
        ),
        (["--inject", "all"], "--inject must be one of auto, none, blocks, taps, both; got 'all'"),
        (["--inject", "taps", "--taps", "blocks"], "--inject needs the taps of block inputs"),
        (["--oracle", "f64"], "--oracle must be one of auto, none, float32, float64; got 'f64'"),
        (["--repeat", "-1"], "--repeat must be a whole number from 0"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--taps"], "expected one argument"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refused(arguments, capsys)


def test_a_tap_pattern_that_matches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no tap of the function is selected; it has 'embed'" in refused(
        [*SMALL_RUN, "--taps", "layer_*", "--out", "r"], capsys
    )


def test_an_out_folder_with_other_content(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("precious")
    assert "holds other content ('notes.txt')" in refused([*SMALL_RUN, "--out", "mine"], capsys)
    assert os.listdir("mine") == ["notes.txt"]


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/nowhere/report"])
def test_an_out_folder_that_cannot_be_written(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("x")
    assert f"can't write the report to {out}" in refused([*SMALL_RUN, "--out", out], capsys)


def test_a_reference_that_is_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert "is not a trace" in refused(["--reference", "empty"], capsys)


NO_GEMMA = """
import sys
sys.modules["gemma"] = None  # as if it were not installed
from parity.commands.compare import main
sys.exit(main(["--model", "tiny", "--blocks", "1", "--out", "r"]))
"""


def test_without_gemma_the_message_names_the_install_line() -> None:
    done = subprocess.run([sys.executable, "-c", NO_GEMMA], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    complaint = done.stderr.splitlines()[-1]
    assert complaint.startswith("parity.compare: error: the official package, gemma, is not inst")
    assert complaint.endswith("install it with: pip install -c constraints.txt gemma")
    assert "Traceback" not in done.stderr
    assert os.listdir() == []


@pytest.mark.matrix
def test_an_earlier_report_is_replaced_whole(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL_RUN, "--blocks", "1", "--no-variants", "--taps", "blocks", "--out", "r"]
    assert compare.main(arguments) == 0
    assert compare.main([*arguments, "--seed", "1"]) == 0
    assert json.loads(Path("r/comparison.json").read_text())["manifest"]["weights"] == "synthetic:1"
    assert os.listdir() == ["r"]


@pytest.mark.matrix
def test_a_failing_run_leaves_the_earlier_report(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*SMALL_RUN, "--blocks", "1", "--no-variants", "--taps", "blocks", "--out", "r"]
    assert compare.main(arguments) == 0

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parity.report.files.draw_pictures", full_disk)
    assert compare.main([*arguments, "--seed", "1"]) == 2
    assert json.loads(Path("r/comparison.json").read_text())["manifest"]["weights"] == "synthetic:0"
    assert os.listdir() == ["r"]
