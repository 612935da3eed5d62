"""What the README shows is true."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_of_your_own_model_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == "out\n"


def test_every_argument_it_names_exists() -> None:
    named = set(re.findall(r"(?<!=)--[a-z-]+", README)) - {"--help"}
    texts = [
        subprocess.run(
            [sys.executable, "-m", module, "--help"], capture_output=True, text=True
        ).stdout
        for module in ("parity.compare", "parity.record")
    ]
    assert named
    assert {name for name in named if not any(name in text for text in texts)} == set()
