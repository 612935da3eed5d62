"""The cut of the house: which way imports point, what is lazy, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path for package in ("jaxformer", "parity") for path in (ROOT / package).rglob("*.py")
)
LAZY = {"flax", "gemma", "kauldron", "torch", "transformers", "matplotlib", "plotly", "pandas"}
HEAVY = LAZY | {
    *("jax", "numpy", "safetensors", "orbax", "tokenizers", "sentencepiece", "rich", "filelock"),
}
COMMANDS = [
    "parity.commands.compare.main(['--help'])",
    "parity.commands.compare.main(['file.py:f', '--help'])",
    "parity.commands.record.main(['--help'])",
    "parity.commands.bench.main(['--help'])",
    "parity.commands.explain.main(['--help'])",
    "parity.commands.explain.main(['file.py:f', '--help'])",
    "parity.studies.__main__.main(['--help'])",
    "parity.__main__.main(['--help'])",
    "jaxformer.__main__.main(['generate', '--help'])",
    "dir(parity), dir(jaxformer)",
]


def test_rooms_import_only_from_those_below_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transitively: the contracts stand in pyproject.toml."""
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(cache_dir=None, verbose=False) == cli.EXIT_STATUS_SUCCESS


def top_level_imports(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_large_packages_are_imported_when_they_are_used() -> None:
    found = {path.relative_to(ROOT): top_level_imports(path) & LAZY for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys, jaxformer, parity, parity.__main__, parity.commands.compare, parity.commands.record
import parity.commands.bench, parity.commands.explain, parity.studies.__main__, jaxformer.__main__
try:
    {command}
except SystemExit:
    pass
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("package", ["jaxformer", "parity"])
def test_public_names_exist(package: str) -> None:
    module = __import__(package)
    assert dir(module)
    for name in dir(module):
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing
