"""A run that is killed, or that finds a full disk, leaves the earlier report; the next says so."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.report.files import ReportFolder

REPORT = """
import os, signal, sys
from pathlib import Path
import numpy as np
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.report import draft, files

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def comparison(model):
    tap = diff_arrays("embed", np.zeros(2, "f4"), np.zeros(2, "f4"))
    return Comparison({"model": model}, [Column("ours", {}, [tap])])

def run(model):
    with files.ReportFolder(Path("r"), say=print) as report:
        watch = report.watching(lambda message: None)
        watch("ours: running and comparing, 40 taps")
        draft._INTERVAL = -1
        watch.frames(12, 40)
        at("running")
        report.write(comparison(model))

def at(place):
    if place == sys.argv[1]:
        die()

def rename(self, target, old=Path.rename):
    at(f"before {self.name}")
    old(self, target)
    at(f"after {self.name}")

def exchange(one, other, old=draft.exchanged):
    if sys.argv[2] == "two steps":
        return False
    at("before exchange")
    assert old(one, other)
    at("after exchange")
    return True

Path.rename = rename
draft.exchanged = exchange
if sys.argv[1] == "writing":
    files.summary = die
run("new")
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def earlier() -> bytes:
    """A report that stands in `r`."""
    Path("r").mkdir()
    Path("r/comparison.json").write_text('{"manifest": {"model": "old"}}')
    return Path("r/comparison.json").read_bytes()


def killed(place: str, steps: str = "two steps") -> None:
    command = [sys.executable, "-c", REPORT, place, steps]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def next_run() -> list[str]:
    """What the next run beside it is told; it is given up at once."""
    said: list[str] = []
    with ReportFolder(Path("other"), say=said.append):
        pass
    return said


def model() -> str:
    return json.loads(Path("r/comparison.json").read_text())["manifest"]["model"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("running", "at 'ours: running and comparing, 40 taps', after 12 of 40 taps; its draft is"),
        ("writing", "at 'writing summary.md'; its draft is removed"),
        ("before r", "at 'putting the report in its place'; its draft is removed"),
    ],
)
def test_a_killed_run_leaves_the_earlier_report_and_is_told_of(
    earlier: bytes, place: str, told: str
) -> None:
    killed(place)
    assert os.listdir("r") == ["comparison.json"]
    assert Path("r/comparison.json").read_bytes() == earlier
    assert len(os.listdir()) == 2
    (said,) = next_run()
    assert said.startswith("an earlier run for r, started 20")
    assert told in said
    assert os.listdir() == ["r"]
    assert Path("r/comparison.json").read_bytes() == earlier
    assert next_run() == []


@pytest.mark.parametrize("place", ["after r", "before report"])
def test_killed_between_the_two_renames_the_next_run_finishes(earlier: bytes, place: str) -> None:
    killed(place)
    assert not Path("r").exists()
    (draft,) = Path().iterdir()
    assert (draft / "earlier" / "comparison.json").read_bytes() == earlier
    (said,) = next_run()
    assert said.endswith("; its report was complete and is in its place now")
    assert os.listdir() == ["r"]
    assert model() == "new"
    assert Path("r/summary.md").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is two steps")
@pytest.mark.parametrize(
    ("place", "expected"),
    [("before exchange", "old"), ("after exchange", "new"), ("after report", "new")],
)
def test_in_one_step_a_report_stands_there_at_any_time(
    earlier: bytes, place: str, expected: str
) -> None:
    killed(place, "one step")
    assert model() == expected
    assert Path("r/summary.md").exists() == (expected == "new")
    next_run()
    assert os.listdir() == ["r"]
    assert model() == expected


def test_killed_once_its_report_is_in_place_there_is_nothing_to_tell(earlier: bytes) -> None:
    killed("after report")
    assert model() == "new"
    assert next_run() == []
    assert os.listdir() == ["r"]


def test_a_first_report_that_was_complete_is_put_in_place() -> None:
    killed("before report")
    assert not Path("r").exists()
    assert "is in its place now" in next_run()[0]
    assert model() == "new"


def test_interrupted_between_the_two_renames_the_report_is_finished(
    earlier: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = REPORT.replace("os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt")
    command = [sys.executable, "-c", code, "after r", "two steps"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    assert model() == "new"
    assert os.listdir() == ["r"]


WAITING = """
import sys
from pathlib import Path
from parity.report.files import ReportFolder
with ReportFolder(Path("r")) as report:
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def living() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_the_draft_of_a_living_run_is_left_alone(living: subprocess.Popen[str]) -> None:
    (draft,) = Path().iterdir()
    assert next_run() == []
    assert (draft / "progress.json").exists()
    living.kill()
    living.wait()
    assert "was stopped at 'starting'" in next_run()[0]
    assert os.listdir() == []


def test_folders_that_only_look_like_drafts_are_left_alone() -> None:
    for name in (".r.abcdefgh", ".r.ijklmnop", ".r.short"):
        Path(name).mkdir()
        Path(name, "lock").touch()
    Path(".r.ijklmnop/progress.json").write_text('{"format": "another"}')
    before = sorted(os.listdir())
    assert next_run() == []
    assert sorted(os.listdir()) == before


def test_what_a_progress_file_says_is_shown_on_one_line() -> None:
    folder = Path(".r.abcdefgh")
    folder.mkdir()
    (folder / "lock").touch()
    state = {"format": "parity-report-draft", "stage": "a\n\x1b[2J", "frames": ["\x07", {}]}
    (folder / "progress.json").write_text(json.dumps(state))
    assert next_run()[0].isprintable()


PORT = """
import time, jax, jax.numpy as jnp

def theirs(x, *, tap):
    return tap("out", jnp.tanh(x))

def endless(x, *, tap):
    jax.debug.callback(lambda: time.sleep(600))
    return theirs(x, tap=tap)

def inputs():
    return (jnp.ones((4, 8)),)
"""


def command(program: str, reference: str, *more: str) -> list[str]:
    """A program that compares functions of a file, here."""
    Path("port.py").write_text(PORT)
    sides = ["port.py:theirs", "--reference", f"port.py:{reference}", "--inputs", "port.py:inputs"]
    return [sys.executable, "-c", program, *sides, "--out", "r", *more]


RUNNING = "the reference: running"
COMPARE = "import sys; from parity.compare import main; sys.exit(main())"
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop()), resource.RLIM_INFINITY))
from parity.{} import main
sys.exit(main())
"""


def test_the_command_killed_while_it_runs(earlier: bytes) -> None:
    process = subprocess.Popen(command(COMPARE, "endless"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    stage = ""
    while not stage.startswith(RUNNING) and time.monotonic() < deadline:
        time.sleep(0.02)
        for path in Path().glob(".r.*/progress.json"):
            stage = json.loads(path.read_text())["stage"]
    process.kill()
    process.wait()
    assert Path("r/comparison.json").read_bytes() == earlier
    assert f"was stopped at '{RUNNING}" in next_run()[0]
    assert sorted(os.listdir()) == ["port.py", "r"]


# Of the first file, and of one in the middle.
@pytest.mark.parametrize("size", [pytest.param(2_000, marks=pytest.mark.matrix), 60_000])
def test_a_file_that_cannot_be_written_is_one_message_below_the_table(
    earlier: bytes, size: int
) -> None:
    limited = command(LIMITED.format("compare"), "theirs", str(size))
    done = subprocess.run(limited, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout.startswith("verified: ")
    assert "ours  IDENTICAL" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "parity.compare: error: can't write the report to r: File too large; name another folder"
    )
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir()) == ["port.py", "r"]
    assert Path("r/comparison.json").read_bytes() == earlier
