"""What the README shows is true."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_of_your_own_model_runs() -> None:
    codes = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (code,) = (code for code in codes if "parity.diff_traces" in code)
    assert run(code) == "out\n"


def test_the_example_of_explaining_names_a_line() -> None:
    codes = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (code,) = (code for code in codes if "import explain" in code)
    assert "where ours departs" in run(code)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def test_every_argument_it_names_exists() -> None:
    named = set(re.findall(r"(?<!=)--[a-z-]+", README)) - {"--help"}
    commands = ["parity.compare", "parity.record", "parity.explain"]
    commands += ["jaxformer generate", "jaxformer bench"]
    texts = [
        subprocess.run(
            [sys.executable, "-m", *command.split(), "--help"], capture_output=True, text=True
        ).stdout
        for command in commands
    ]
    assert named
    assert {name for name in named if not any(name in text for text in texts)} == set()
