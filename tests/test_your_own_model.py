"""The README's examples of a model of one's own run, and print what the page shows.

They need no Gemma, as `pip install -e .` brings none. `python -m pytest tests/test_your_own_model.py
--write-reports` keeps what they print in `reports/readme`, of which the page shows a part.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from documents_for_tests import KEPT, ROOT, command_output, examples, page, phrases
from flax import linen, nnx

import parity

HEAD = "import parity\nfrom my_port import inputs, ours, theirs\n\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the page's `my_port.py`."""
    (tmp_path / "my_port.py").write_text(examples("def inputs"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def printed(code: str, folder: Path) -> str:
    """What Python says to the code, with places in the folder by their file's name alone."""
    (folder / "example.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "example.py"], capture_output=True, text=True)
    assert done.stderr == ""
    return re.sub(r"\S+/(?=my_port\.py)", "", done.stdout)


def command(name: str) -> list[str]:
    """The arguments of a command of `my_port.py` that the page shows."""
    (found,) = set(re.findall(rf"parity {name} my_port\.py[^`\n]*", page()))
    return shlex.split(found)


def check_kept(name: str, text: str, request: pytest.FixtureRequest) -> None:
    """Figures are of one machine, words of all."""
    if request.config.getoption("--write-reports"):
        (KEPT / name).write_text(text, encoding="utf-8")
    assert phrases(text) == phrases((KEPT / name).read_text(encoding="utf-8"))


def test_two_functions_are_compared(folder: Path, request: pytest.FixtureRequest) -> None:
    text = printed(examples("parity.diff(ours, theirs, *inputs())"), folder)
    check_kept("diff.txt", text, request)
    assert "\nours  DIVERGED at output\n" in text


def test_the_command_prints_the_same_and_writes_a_report(folder: Path) -> None:
    compared = command_output(*command("compare"), "--out", "report")
    assert compared == printed(examples("parity.diff(ours, theirs, *inputs())"), folder)
    assert (folder / "report/report.html").is_file()


def test_the_line_is_named(folder: Path, request: pytest.FixtureRequest) -> None:
    (call,) = re.findall(r"`(print\(parity\.causes.*?\))`,", page())
    text = printed(HEAD + call, folder)
    check_kept("causes.txt", text, request)
    (line,) = re.findall(r"(?m)^ +1  my_port\.py:(\d+)$", text)
    assert "1e-5" in (folder / "my_port.py").read_text().splitlines()[int(line) - 1]
    assert "1e-05 where the reference has 1e-06" in text
    explain = ["parity", "explain", *command("compare")[2:]]
    assert re.sub(r"\S+/(?=my_port\.py)", "", command_output(*explain)) == text


def test_a_scan_over_layers_is_compared_layer_by_layer(folder: Path) -> None:
    text = printed(examples("jax.lax.scan"), folder)
    rows = [line.split()[0] for line in text.splitlines()[3:] if line.strip()]
    assert rows == ["0", "1", "2", "3", "output", "ours"]
    assert text.endswith("\nours  IDENTICAL\n")


def test_every_kind_of_model_is_given_as_the_table_says(folder: Path) -> None:
    recorded = command("record")
    assert command_output(*recorded).strip() == recorded[-1]
    calls = re.findall(r"(?m)^\|[^|\n]*\| `(parity\.diff\(.*)` \|$", page())
    assert len(calls) == 6
    sys.path.insert(0, str(folder))
    import my_port

    linear = nnx.Linear(64, 8, rngs=nnx.Rngs(0))
    for call in calls:
        params, x = my_port.inputs()
        known = {
            **{"parity": parity, "jax": jax, "ours": my_port.theirs, "theirs": my_port.theirs},
            "reference": lambda x: my_port.theirs(my_port.inputs()[0], x),
        }
        if "linen" in call:
            known["linen_model"] = model = linen.Dense(8)
            params, known["theirs"] = model.init(jax.random.key(0), x), model.apply
        elif "nnx" in call:
            known |= {"nnx_model": linear, "reference": lambda x: x @ linear.kernel + linear.bias}
        elif "eqx" in call:
            known["eqx_model"] = model = eqx.nn.Linear(64, 8, key=jax.random.key(0))
            known["reference"] = jax.vmap(model)
        found = eval(call, {**known, "params": params, "x": x})
        assert found.holds, call
        assert found.columns[0].compared == 1


def test_another_input_than_the_recorded_one_is_refused(folder: Path) -> None:
    command_output(*command("record"))
    (folder / "other.py").write_text(
        "import my_port\nfrom my_port import ours\n\n\ndef inputs():\n"
        "    w, x = my_port.inputs()\n    return w, x + 1\n"
    )
    arguments = shlex.split("compare other.py:ours --reference golden --inputs other.py:inputs")
    done = subprocess.run(
        [sys.executable, "-m", "parity", *arguments], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "the reference differs in inputs" in done.stderr


def test_allow_says_what_is_parity(folder: Path) -> None:
    def ours(x: jax.Array) -> jax.Array:
        return x[::-1].sum()

    x = jnp.asarray(np.random.default_rng(0).standard_normal(1000), jnp.float32)
    (status,) = {tap.status for tap in parity.diff(ours, jnp.sum, x).columns[0].taps}
    assert parity.diff(ours, jnp.sum, x).holds
    assert parity.diff(ours, jnp.sum, x, allow=()).holds == (status == "identical")
    allowed = re.findall(r"`(allow=\(.*?\))`", page())
    assert allowed == ["allow=()", 'allow=("rounding", "unjudged")']
    for words in allowed:
        eval(f"parity.diff(ours, jnp.sum, x, {words})", {**globals(), "ours": ours, "x": x})


def test_every_status_is_explained() -> None:
    from typing import get_args

    from parity.verdict.taps import Status

    rows = re.findall(r"(?m)^\| ([A-Z_]+(?:, [A-Z_]+)*) \|", page())
    told = [word for row in rows for word in row.lower().split(", ")]
    assert told == list(get_args(Status))


def test_the_own_model_takes_ten_lines() -> None:
    code = examples("def inputs")
    assert len([line for line in code.splitlines() if line.strip()]) == 10
