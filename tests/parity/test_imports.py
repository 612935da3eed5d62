"""The cut of DESIGN.md: which way imports point, what is lazy, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for package in ("jaxformer", "parity") for path in (ROOT / package).rglob("*.py")
)
FRAMEWORKS = {"flax", "gemma", "kauldron", "torch", "transformers", "jaxformer"}
HEAVY = {
    "jax",
    "numpy",
    "pandas",
    "matplotlib",
    "plotly",
    "flax",
    "gemma",
    "torch",
    "safetensors",
    "orbax",
    "transformers",
    "tokenizers",
    "sentencepiece",
    "rich",
    "filelock",
}
# Each may import those to its left.
ORDER = {
    "jaxformer": [
        "errors", "machine", "hf_config", "config", "taps", "rows", "forms", "params", "layout",
        "layers", "blockwise", "fused", "attention", "model", "checkpoint", "vocabulary",
        "tokenizer", "cache", "programs", "widening", "tune", "prefill", "sampling", "generate",
        "gemma", "bench", "roofline", "cli", "generate_command", "tune_command", "bench_command",
        "__main__",
    ],
    "parity": [
        "errors", "trace", "watching", "ledger", "jaxprs", "program", "sides", "record", "stages",
        "oracle",
        "error_rules", "bounds", "metrics", "profile", "accuracy", "impact", "storage", "taps",
        "status", "comparison", "diff", "weights", "variants", "explain", "report", "cli",
        "sources", "run", "noise", "evidence", "holding", "comparing", "explaining", "compare",
        "record_command", "benchmarks", "bench", "peers", "studies",
    ],
}  # fmt: skip
# Their own commands, called from the `__main__` tail, may use what stands to the right.
COMMAND_OF = {"record": {"record_command"}, "explain": {"explaining", "cli", "sources", "report"}}
COMMANDS = {
    "studies",
    "peers",
    "compare",
    "explaining",
    "record_command",
    "bench",
    "benchmarks",
    "cli",
}


def module_of(path: Path) -> tuple[str, str]:
    """Package and part: ("parity", "sources")."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0], parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    nodes = tree.body if top_level else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    package, part = module_of(path)
    if part == "__init__":
        return
    order = ORDER[package]
    allowed = {*order[: order.index(part) + 1], *COMMAND_OF.get(part, set())}
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == package:
            assert rest.split(".")[0] in allowed, f"{package}.{part} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_sources_and_commands_know_a_model(path: Path) -> None:
    package, part = module_of(path)
    tops = {name.partition(".")[0] for name in imports(path)}
    if package == "jaxformer":
        assert not tops & {"parity", "flax", "gemma", "torch"}
    elif part not in COMMANDS and part != "sources":
        assert not tops & FRAMEWORKS


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_official_package_is_imported_lazily(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(path, top_level=True)}
    assert not tops & {"flax", "gemma", "kauldron", "torch", "transformers", "matplotlib"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "command",
    [
        "parity.compare.main(['--help'])",
        "parity.record_command.main(['--help'])",
        "parity.bench.main(['--help'])",
        "parity.explain.__main__.main(['--help'])",
        "parity.studies.__main__.main(['--help'])",
        "jaxformer.__main__.main(['generate', '--help'])",
        "dir(parity), dir(jaxformer)",
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys, jaxformer, parity, parity.compare, parity.record_command, parity.bench
import parity.explain.__main__, parity.studies.__main__, jaxformer.__main__
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
