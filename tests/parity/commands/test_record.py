"""`python -m parity.record` refuses what it can't record, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cases import SHORT

from jaxformer.checkpoint.safetensors import save_safetensors
from jaxformer.checkpoint.synthetic import synthetic_params
from parity.commands import record as record_command
from parity.errors import RequestError
from parity.trace.disk import load_trace


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
    assert record_command.main(["--model", "tiny", "--blocks", "1", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err.splitlines()[-1]
    assert os.listdir() == ["taken"]


def test_the_module_is_a_command(tmp_path: Path) -> None:
    command = "-m parity.record --model tiny --blocks 1 --taps blocks --out"
    done = subprocess.run(
        [sys.executable, *command.split(), str(tmp_path / "t")], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path / 't'}\n"
    assert "RuntimeWarning" not in done.stderr
    names = [frame.spec.name for frame in load_trace(tmp_path / "t").frames()]
    assert names == ["embed", "blocks.0.output"]


KILLED = """
import os, signal
from parity.commands import record as record_command
from parity.trace import disk as storage
storage._SHARD_BYTES = 1

def put(self, frame, old=storage.DiskSink.put):
    if frame.spec.index == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    old(self, frame)

storage.DiskSink.put = put
record_command.main()
"""
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
from parity.commands.record import main
sys.exit(main())
"""


def recorded(program: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`python -m parity.record` on a small checkpoint, into `t`, by a program that calls it."""
    save_safetensors(synthetic_params(SHORT, 0, "float32"), SHORT, tmp_path / "short")
    arguments = ["--weights", str(tmp_path / "short"), "--out", "t"]
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)


def test_a_killed_run_says_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recorded(KILLED, tmp_path).returncode == -signal.SIGKILL
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="t is incomplete: 12 of 63 frames; its run was cut"):
        load_trace(Path("t"))
    assert record_command.main(["--model", "tiny", "--blocks", "1", "--out", "t"]) == 2
    assert (
        "t holds a trace that was cut short, 12 of 63 frames; name a new folder"
        in (capsys.readouterr().err.splitlines()[-1])
    )


def test_a_file_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    done = recorded(LIMITED, tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("parity.record: error: can't write the trace to t: ")
    assert last.endswith("; name another folder")
    assert "Traceback" not in done.stderr
    assert {path.suffix for path in (tmp_path / "t").iterdir()} == {".json"}
