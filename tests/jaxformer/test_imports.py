"""jaxformer stands alone, and costs nothing before there is something to compute."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "jaxformer").rglob("*.py"))
HEAVY = {
    "jax", "numpy", "flax", "gemma", "matplotlib", "orbax", "safetensors", "sentencepiece",
    "tokenizers", "torch", "transformers",
}  # fmt: skip


def test_parity_is_named_in_no_file_not_even_as_a_program_to_start() -> None:
    found = {
        path.relative_to(ROOT): re.findall(r"\bparity\.\w+|\bimport parity\b", text)
        for path in FILES
        if (text := path.read_text(encoding="utf-8"))
    }
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import jaxformer.__main__ as m; m.main(['--help'])",
        "import jaxformer.__main__ as m; m.main(['bench', '--help'])",
        "import jaxformer.__main__ as m; m.main(['tune', '--help'])",
        "import jaxformer.taps",  # read in a process that has no JAX
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(code: str) -> None:
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
