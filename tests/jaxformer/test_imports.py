"""What jaxformer needs: nothing of parity, other frameworks only when asked for, no long file."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "jaxformer").rglob("*.py"))
FRAMEWORKS = {"flax", "gemma", "kauldron", "matplotlib", "torch", "transformers"}
HEAVY = {*FRAMEWORKS, "jax", "numpy", "orbax", "safetensors", "sentencepiece", "tokenizers"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_nothing_of_parity_is_named_not_even_in_a_string(path: Path) -> None:
    assert re.findall(r"\bparity[.:]|import parity\b", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, ids=named)
def test_other_frameworks_are_imported_where_they_are_used(path: Path) -> None:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    assert not names & FRAMEWORKS


@pytest.mark.parametrize("path", FILES, ids=named)
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize(
    "code",
    [
        "import jaxformer.__main__ as m; m.main(['--help'])",
        "import jaxformer.__main__ as m; m.main(['generate', '--help'])",
        "import jaxformer.__main__ as m; m.main(['bench', '--help'])",
        "import jaxformer.__main__ as m; m.main(['tune', '--help'])",
        "import jaxformer; dir(jaxformer)",
        "import jaxformer.taps",  # read in a process that has no JAX
    ],
)
def test_nothing_heavy_is_imported_before_there_is_something_to_compute(code: str) -> None:
    program = f"""
import sys
try:
    {code}
except SystemExit:
    pass
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_public_names_exist() -> None:
    import jaxformer

    assert dir(jaxformer)
    for name in dir(jaxformer):
        assert getattr(jaxformer, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = jaxformer.nothing
