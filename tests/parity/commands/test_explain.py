"""`python -m parity.explain` from outside, on the two cases that this project began with."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents_for_tests import KEPT, phrases

import jaxformer.layers
from parity.explain import __main__ as command

SMALL_RUN = ["--model", "tiny", "--blocks", "2"]
REAL_RUN = ["--model", "gemma3-270m", "--blocks", "2"]


def line_of(text: str) -> int:
    lines = Path(jaxformer.layers.__file__).read_text().splitlines()
    return 1 + next(i for i, line in enumerate(lines) if text in line)


def run_of(path: Path) -> str:
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()[-1]


def test_the_einsum_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*REAL_RUN, "--variant", "s:gating=stacked", "--repro", str(tmp_path / "r.py")]
    assert command.main(arguments) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 statement where ours departs\n")
    assert f"\n  1  jaxformer/layers.py:{line_of('BTD,NFD->NBTF')}\n" in out
    assert "gm/nn/_layers.py:" in out
    assert "> return jnp.einsum(eqn, x, w)" in out
    assert "EXPLAINED(gating=fused)" in out
    shown = (KEPT / "explain.txt").read_text(encoding="utf-8")
    assert phrases(shown) - phrases(out) == set()
    told = out.split(" differ, by up to")[0].split()[-3:]
    assert run_of(tmp_path / "r.py") == f"{' '.join(told)} elements differ".replace("\n", " ")


@pytest.mark.matrix
def test_the_epsilon_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL_RUN, "--dtype", "float32", "--variant", "e:rms_norm_eps=1e-5"]
    assert command.main([*arguments, "--repro", str(tmp_path / "r.py")]) == 1
    out = capsys.readouterr().out
    assert f"jaxformer/layers.py:{line_of('+ numerics.rms_norm_eps')}\n" in out
    assert "1e-05 where the reference has 1e-06" in out
    assert "gm/nn/_layers.py:" in out
    assert "EXPLAINED(rms_norm_eps=1e-06)" in out
    assert run_of(tmp_path / "r.py").endswith("elements differ")


@pytest.mark.quick
def test_the_unmodified_model_has_no_cause(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(SMALL_RUN) == 0
    assert capsys.readouterr().out.startswith("no operation of ours departs")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--taps", "blocks"], "explain needs every tap"),
        (["--variant", "a:epsilon=1"], "no numerics field 'epsilon'"),
        (["--repro", "here.txt"], "--repro must be a new .py file"),
        (["--repro", "nowhere/r.py"], "--repro must be a new .py file in an existing folder"),
    ],
)
def test_bad_requests(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*SMALL_RUN, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("parity.explain: error: ")
    assert complaint in err


PORT = """\
import jax.numpy as jnp
import numpy as np

def inputs():
    r = np.random.default_rng(0)
    return tuple(jnp.asarray(r.standard_normal(s), jnp.float32) for s in ((4, 8), (8, 8), (8,)))

def reference(x, w, b):
    return jnp.tanh(x @ w) + b

def ours(x, w, b):
    return jnp.tanh(x @ w)

def fixed(x, w, b):
    return b + jnp.tanh(x @ w)
"""


@pytest.mark.quick
@pytest.mark.parametrize(
    ("ours", "status", "words"),
    [
        ("ours", 1, "after it the reference has add at port.py:9"),
        ("fixed", 0, "no operation of ours departs from the reference"),
    ],
)
def test_two_functions_of_a_file(
    ours: str,
    status: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is missing at the very end is a departure, and one that its status tells."""
    monkeypatch.chdir(tmp_path)
    Path("port.py").write_text(PORT)
    arguments = [f"port.py:{ours}", "--reference", "port.py:reference"]
    assert command.main([*arguments, "--inputs", "port.py:inputs"]) == status
    out = " ".join(capsys.readouterr().out.split())
    assert words in re.sub(r"\S+/port\.py", "port.py", out)
