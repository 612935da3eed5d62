"""`python -m parity.record` refuses what it can't record, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity import record_command
from parity.storage import load_trace


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--out", "t", "--source", "torch"], "--source must be one of jaxformer, flax, hf; got"),
        (["--out", "t", "--taps", "nothing.*"], "no tap of the function is selected"),
        (["--out", "taken"], "taken exists and is not empty; name a new folder"),
        ([], "the following arguments are required: --out"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    assert record_command.main(["--model", "gemma3-270m", "--blocks", "1", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err.splitlines()[-1]
    assert os.listdir() == ["taken"]


def test_the_module_is_a_command(tmp_path: Path) -> None:
    command = "-m parity.record --model gemma3-270m --blocks 1 --taps blocks --out"
    done = subprocess.run(
        [sys.executable, *command.split(), str(tmp_path / "t")], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path / 't'}\n"
    assert "RuntimeWarning" not in done.stderr
    names = [frame.spec.name for frame in load_trace(tmp_path / "t").frames()]
    assert names == ["embed", "blocks.0.output"]
