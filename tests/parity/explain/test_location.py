"""Whose line an operation is: a model's, wherever it was written, never a library's."""

import doctest
import importlib.util
import linecache
import os
import subprocess
import sys
import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from parity.explain import explain
from parity.explain.location import Location, in_library

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 16)), jnp.float32)
TYPED = """\
import jax.numpy as jnp
def ours(x):
    return jnp.tanh(x * 3.0)
def reference(x):
    return jnp.tanh(x * 2.0)
"""


def typed(file: str, text: str = TYPED) -> dict:
    """The names of a text that was run under a name of its own, as an interpreter does."""
    names: dict = {"__name__": "__main__"}
    exec(compile(text, file, "exec"), names)
    return names


@pytest.mark.parametrize(
    "file", ["<stdin>", "<string>", "<ipython-input-3-0a1b2c>", "<doctest model[2]>"]
)
def test_code_that_was_typed_in_is_the_users(file: str) -> None:
    names = typed(file)
    (cause,) = explain(names["ours"], names["reference"], X).causes
    assert str(cause.where) == f"{file}:3"


def test_typed_code_is_shown_where_its_text_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython tells linecache the text of its cells; nobody tells it that of `<string>`."""
    file = "<ipython-input-7-77aa>"
    entry = (len(TYPED), None, TYPED.splitlines(keepends=True), file)
    monkeypatch.setitem(linecache.cache, file, entry)
    shown, unknown = typed(file), typed("<string>")
    assert "> return jnp.tanh(x * 3.0)" in str(explain(shown["ours"], shown["reference"], X))
    text = str(explain(unknown["ours"], unknown["reference"], X))
    assert "<string>:3\n     mul of" in text


def test_the_lines_of_a_real_ipython_cell_are_named(tmp_path: Path) -> None:
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    config = pytest.importorskip("traitlets.config").Config()
    config.HistoryManager.enabled = False
    shell = interactive.InteractiveShell(config=config, ipython_dir=str(tmp_path))
    shell.run_cell(TYPED, silent=True)
    (cause,) = explain(shell.user_ns["ours"], shell.user_ns["reference"], X).causes
    assert cause.where.line == 3
    assert cause.where.text == "return jnp.tanh(x * 3.0)"


def test_a_script_from_standard_input_is_the_users() -> None:
    script = f"{TYPED}from parity.explain import explain\nprint(explain(ours, reference, 1.5))\n"
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True)
    assert done.stderr == ""
    assert "\n  1  <stdin>:3\n" in done.stdout


def test_a_doctest_is_the_users() -> None:
    module = types.ModuleType("documented")
    module.__doc__ = """
    >>> def ours(x):
    ...     return x * 3.0
    >>> (cause,) = explain(ours, lambda x: x * 2.0, X).causes
    >>> print(cause.where, cause.where.text)
    <doctest documented[0]>:2 return x * 3.0
    """
    module.explain, module.X = explain, X
    assert doctest.testmod(module).attempted == 3
    assert doctest.testmod(module).failed == 0


def test_what_a_dataclass_generates_calls_nothing() -> None:
    """Its methods stand in `<string>`, too, between two lines of the user's."""
    text = """\
import dataclasses
@dataclasses.dataclass
class Scaled:
    x: object
    def __post_init__(self):
        self.x = self.x * FACTOR
def fn(x):
    return Scaled(x).x + 1
"""
    ours = typed("<stdin>", text.replace("FACTOR", "3.0"))["fn"]
    reference = typed("<string>", text.replace("FACTOR", "2.0"))["fn"]
    (cause,) = explain(ours, reference, X).causes
    assert str(cause.where) == "<stdin>:6"
    assert str(cause.where.caller) == "<stdin>:8"


@pytest.mark.parametrize(
    "file", ["<frozen importlib._bootstrap>", "<__array_function__ internals>", ""]
)
def test_what_python_generates_is_nobodys(file: str) -> None:
    assert in_library(file)


def beside(package: str) -> str:
    """A file of another package whose name begins like this one's."""
    (folder,) = importlib.util.find_spec(package).submodule_search_locations
    return os.path.join(f"{folder}former", "layers.py")


@pytest.mark.parametrize("package", ["jax", "flax", "numpy", "parity"])
def test_a_package_whose_name_begins_like_a_librarys_is_the_users(package: str) -> None:
    assert not in_library(beside(package))
    assert in_library(beside(package).replace(f"{package}former", package))


def test_the_lines_of_jaxformer_are_named_where_it_is_installed_beside_jax() -> None:
    names = typed(beside("jax"))
    (cause,) = explain(names["ours"], names["reference"], X).causes
    assert cause.where.place == (beside("jax"), 3)


def test_other_peoples_packages_are_not_pythons() -> None:
    assert in_library(os.path.join(os.path.dirname(os.__file__), "json", "decoder.py"))
    assert in_library(os.__file__)
    assert not in_library(
        os.path.join(os.path.dirname(os.__file__), "site-packages", "model", "a.py")
    )


def test_folders_beside_the_toolkit_are_the_users() -> None:
    root = Path(__file__).parents[3]
    assert in_library(str(root / "parity/subjects/gemma/ours.py"))
    for place in ("tests/faults/subject.py", "notebooks/tour.py", "parity_notes/model.py"):
        assert not in_library(str(root / place))


def test_a_place_is_shown_by_its_last_parts() -> None:
    assert str(Location("", 0)) == "unknown place"
    assert str(Location("<stdin>", 3)) == "<stdin>:3"
    assert str(Location("/a/b/c/d/e.py", 3)) == "c/d/e.py:3"
