"""The README's examples of a model of one's own run, and print what the page shows.

They need no Gemma: `pip install -e .` brings none. With `--write-reports` what they print is kept
in `reports/readme`.
"""

import ast
import contextlib
import importlib
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from documents_for_tests import KEPT, examples, page, phrases
from flax import linen, nnx

import parity
from parity.__main__ import main
from parity.verdict.taps import Status

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the page's `my_port.py`, and a recorded run."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "my_port.py").write_text(examples("def inputs"), encoding="utf-8")
    with contextlib.chdir(folder):
        assert command("record") == (0, "golden\n", "")
    return folder


@pytest.fixture
def my_port(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of that file, whose folder is the working one."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("my_port")
    del sys.modules["my_port"]


def printed(code: str) -> str:
    """What an example prints, with places in `my_port.py` by the file's name alone."""
    Path("example.py").write_text(code, encoding="utf-8")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "example.py", "exec"), {"__name__": "__main__"})
    return re.sub(r"\S+/(?=my_port\.py)", "", out.getvalue())


def command(name: str, *more: str, text: str = "") -> tuple[int, str, str]:
    """Exit status, output and complaint of a command of `my_port.py` that the page shows."""
    (shown,) = {text} if text else set(re.findall(rf"parity {name} my_port\.py[^`\n]*", page()))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*shlex.split(shown)[1:], *more])
    complaint = [line for line in err.getvalue().splitlines() if not line.startswith("[")]
    said = re.sub(r"\S+/(?=my_port\.py)", "", out.getvalue())
    return status, said, "\n".join(complaint)


def check_kept(name: str, text: str, request: pytest.FixtureRequest) -> None:
    """Figures are of one machine, words of all."""
    if request.config.getoption("--write-reports"):
        (KEPT / name).write_text(text, encoding="utf-8")
    assert phrases(text) == phrases((KEPT / name).read_text(encoding="utf-8"))


def test_two_functions_are_compared(my_port: ModuleType, request: pytest.FixtureRequest) -> None:
    code = examples("parity.diff(ours, theirs, *inputs())")
    text = printed(code)
    check_kept("diff.txt", text, request)
    assert "\nours  DIVERGED at output\n" in text
    status, out, err = command("compare", "--out", "report")
    assert (status, err) == (1, "")
    assert out.startswith(text.rstrip())
    assert "\nours: 1 statement where ours departs\n" in out
    assert "report.html" in os.listdir("report")


def test_their_file_has_ten_lines() -> None:
    assert len([line for line in examples("def inputs").splitlines() if line.strip()]) == 10


def test_the_line_is_named(my_port: ModuleType, request: pytest.FixtureRequest) -> None:
    (call,) = re.findall(r"`(print\(parity\.causes.*?\))`,", page())
    text = printed(f"import parity\nfrom my_port import inputs, ours, theirs\n\n{call}")
    check_kept("causes.txt", text, request)
    (line,) = re.findall(r"(?m)^ +1  my_port\.py:(\d+)$", text)
    assert "1e-5" in Path("my_port.py").read_text().splitlines()[int(line) - 1]
    assert "1e-05 where the reference has 1e-06" in text
    (compared,) = set(re.findall(r"parity compare (my_port\.py[^`\n]*)", page()))
    assert command("explain", text=f"parity explain {compared}") == (1, text, "")


@pytest.mark.parametrize("given", ["--taps x", "--numerics strict"])
def test_what_explain_does_not_heed_it_refuses(given: str) -> None:
    asked = "my_port.py:ours --reference my_port.py:theirs --inputs my_port.py:inputs"
    status, out, complaint = command("explain", text=f"parity explain {asked} {given}")
    assert (status, out) == (2, "")
    assert f"unrecognized arguments: {given}" in complaint


def test_a_scan_over_layers_is_compared_layer_by_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = printed(examples("jax.lax.scan"))
    rows = [line.split()[0] for line in text.splitlines()[3:] if line.strip()]
    assert rows == ["0", "1", "2", "3", "output", "ours"]
    assert text.endswith("\nours  IDENTICAL\n")
    for frame in re.findall(r"`(layers\[\d\]\.out)`", page()):
        assert frame in {"layers[0].out", "layers[1].out"}


def test_every_kind_of_model_is_given_as_the_table_says(my_port: ModuleType) -> None:
    calls = re.findall(r"(?m)^\|[^|\n]*\| `(parity\.diff\(.*)` \|$", page())
    params, x = my_port.inputs()
    dense, linear = linen.Dense(8), nnx.Linear(64, 8, rngs=nnx.Rngs(0))
    module = eqx.nn.Linear(64, 8, key=jax.random.key(0))
    own = {"ours": my_port.theirs, "theirs": my_port.theirs, "params": params}
    known: dict[str, dict[str, Any]] = {
        "linen_model": {
            "linen_model": dense,
            "params": dense.init(jax.random.key(0), x),
            "theirs": lambda params, x: dense.apply(params, x),
        },
        "nnx_model": {
            "nnx_model": linear,
            "reference": lambda x: x @ linear.kernel[...] + linear.bias[...],
        },
        "eqx_model": {"eqx_model": module, "reference": jax.vmap(lambda x: module(x))},
    }
    for call in calls:
        names = next((known[word] for word in known if word in call), own)
        found = eval(call, {"parity": parity, "jax": jax, "x": x, **names})
        assert found.holds, call
        assert found.columns[0].compared == 1
    assert len(calls) == len(known) + 1


def test_other_inputs_than_the_recorded_ones_are_refused(my_port: ModuleType) -> None:
    Path("other.py").write_text(
        "import my_port\nfrom my_port import ours\n\n\n"
        "def inputs():\n    w, x = my_port.inputs()\n    return w, x + 1\n"
    )
    shown = "parity compare other.py:ours --reference golden --inputs other.py:inputs"
    status, out, complaint = command("compare", text=shown)
    assert (status, out) == (2, "")
    assert "the reference differs in inputs" in complaint


def test_differences_to_a_recorded_run_stay_unjudged(my_port: ModuleType) -> None:
    found = parity.diff(my_port.ours, parity.load_trace("golden"), *my_port.inputs())
    assert "differences stay UNJUDGED" in " ".join(page().split())
    assert {tap.status for tap in found.columns[0].taps} == {"unjudged"}


def test_what_is_allowed_is_parity() -> None:
    def ours(w: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.einsum("ij,jk->ik", x * 3, w) / 3

    w, x = jax.random.normal(jax.random.key(0), (2, 64, 64))
    shown = re.findall(r"`allow=(\(.*?\))`", page())
    for words in ('("rounding",)', *shown):
        found = parity.diff(ours, lambda w, x: x @ w, w, x, allow=ast.literal_eval(words))
        assert {tap.status for tap in found.columns[0].taps} == {"rounding"}
        assert found.holds == (words != "()")
    assert shown == ["()", '("rounding", "unjudged")']


def test_every_status_is_explained() -> None:
    (section,) = re.findall(r"(?s)## How to read a verdict\n(.*?)\n## ", page())
    rows = re.findall(r"(?m)^\| ([A-Z_]+(?:, [A-Z_]+)*) \|", section)
    assert [word for row in rows for word in row.lower().split(", ")] == list(get_args(Status))
