"""The commands on a user's own functions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parity.__main__ import main as parity_command
from parity.commands import compare, explain, record

pytestmark = pytest.mark.quick

PORT = """
import jax, jax.numpy as jnp

def theirs(w, x, *, tap):
    hidden = tap("hidden", x @ w)
    return tap("gelu", jax.nn.gelu(hidden, approximate=False))

def ours(w, x, *, tap):
    hidden = tap("hidden", x @ w)
    return tap("gelu", jax.nn.gelu(hidden))

def inputs():
    return tuple(jax.random.normal(jax.random.key(0), (2, 8, 8)))

def others():
    return tuple(jax.random.normal(jax.random.key(1), (2, 8, 8)))

def raising(w, x):
    raise ValueError("not today")

def pair(w, x):
    return x, w

def lonely(x):
    return x

def words(w, x):
    return "text"
"""
# In a process in which these can't be imported, the core is all there is.
BLOCKED = """
import sys
sys.modules["jaxformer"] = sys.modules["gemma"] = None
from parity.commands.compare import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("port.py").write_text(PORT)


def arguments(reference: str = "theirs", inputs: str = "inputs") -> list[str]:
    return ["port.py:ours", "--reference", f"port.py:{reference}", "--inputs", f"port.py:{inputs}"]


def test_compare_prints_a_table_and_writes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([*arguments(), "--out", "r"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("verified: 3 of 3 taps compared\n")
    assert "\nours  DIVERGED at gelu\n" in out
    assert max(map(len, out.splitlines())) <= 80
    document = json.loads(Path("r/comparison.json").read_text(encoding="utf-8"))
    assert document["manifest"]["command"].startswith("python -m parity.compare port.py:ours")
    assert Path("r/report.html").is_file()


def test_parity_holds_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["port.py:theirs", *arguments()[1:], "--out", "r", "--certify"]
    assert parity_command(["compare", *given]) == 0
    assert "certified: its taps changed 0 of 64" in capsys.readouterr().out


def test_explain_names_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main(arguments()) == 1
    assert "port.py:10" in capsys.readouterr().out


@pytest.mark.optimised  # as in the process that it starts
def test_a_recorded_run_is_a_reference_without_gemma_and_refused_for_other_inputs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert record.main(["port.py:theirs", "--inputs", "port.py:inputs", "--out", "golden"]) == 0
    given = ["port.py:theirs", "--reference", "golden", "--inputs", "port.py:inputs"]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *given, "--out", "r"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ours  IDENTICAL" in done.stdout
    given[-1] = "port.py:others"
    capsys.readouterr()
    assert compare.main([*given, "--out", "s"]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert "these runs can't be compared, the reference differs in inputs" in complaint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (arguments("raising"), "ValueError: not today"),
        (arguments("pair"), "return other structures"),
        (arguments("lonely"), "TypeError"),
        (arguments("words"), "returns a str"),
        (arguments("nothing"), "has no 'nothing'"),
        (arguments(inputs="nothing"), "has no 'nothing'"),
        (["none.py:ours", *arguments()[1:]], "no file none.py"),
        (arguments()[:3], "required: --inputs"),
        ([*arguments(), "--name", "hidden"], "--name must read OURS=THEIRS"),
        ([*arguments(), "--name", "hid=h"], "ours has no tap 'hid'"),
        ([*arguments(), "--allow", "all"], "--allow must be one of"),
        ([*arguments(), "--reference", "golden"], "--reference must be file.py:function"),
        (["nonesuch", *arguments()[1:]], "no subject 'nonesuch'"),
    ],
)
def test_a_wrong_request_is_one_clear_line(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([*given, "--out", "r"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(said) == 1
    assert said[0].startswith("parity.compare: error: ")
    assert message in said[0]
    assert not Path("r").exists()


def test_the_one_command_opens_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity_command(["--help"]) == 0
    assert "compare" in capsys.readouterr().out
    assert parity_command(["compere"]) == 2
    assert "no command 'compere'; there are compare," in capsys.readouterr().err


def test_where_ours_diverges_the_statement_is_named_in_every_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert compare.main([*arguments(), "--out", "report"]) == 1
    printed = capsys.readouterr().out
    assert "ours: 1 statement where ours departs" in printed
    assert '> return tap("gelu", jax.nn.gelu(hidden))' in printed
    assert '> return tap("gelu", jax.nn.gelu(hidden))' in Path("report/summary.md").read_text()
    document = json.loads(Path("report/comparison.json").read_text())
    (cause,) = document["columns"][0]["explained"]["causes"]
    assert cause["place"].endswith("port.py:10")
    assert "port.py" not in capsys.readouterr().err


def test_it_is_not_named_where_nobody_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([*arguments(), "--out", "report", "--explain", "never"]) == 1
    assert "departs" not in capsys.readouterr().out


def test_a_trace_has_no_statements(capsys: pytest.CaptureFixture[str]) -> None:
    assert record.main(["port.py:theirs", "--inputs", "port.py:inputs", "--out", "golden"]) == 0
    asked = ["port.py:ours", "--reference", "golden", "--inputs", "port.py:inputs"]
    assert compare.main([*asked, "--out", "one"]) == 1
    assert compare.main([*asked, "--out", "two", "--explain"]) == 2
    assert "--explain needs a reference with lines" in capsys.readouterr().err
    assert not Path("two").exists()


def test_helpers_of_one_name_in_two_folders_are_two(capsys: pytest.CaptureFixture[str]) -> None:
    for folder, factor in (("v1", 3), ("v2", 2)):
        Path(folder).mkdir()
        Path(folder, "layers.py").write_text(f"def act(x):\n    return x * {factor}\n")
        Path(folder, "model.py").write_text(
            "import jax.numpy as jnp\nfrom layers import act\n\n"
            "def f(x):\n    return act(x)\n\ndef inputs():\n    return (jnp.ones((3, 4)),)\n"
        )
    sides = ["v1/model.py:f", "--reference", "v2/model.py:f", "--inputs", "v1/model.py:inputs"]
    assert compare.main([*sides, "--out", "r"]) == 1
    assert "DIVERGED" in capsys.readouterr().out
