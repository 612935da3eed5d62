"""What stands on a terminal, on a pipe, and where colour is forbidden or forced."""

import os
import pty
import re
import subprocess
import sys
import termios

import pytest

SHOW = """
import dataclasses, sys
import numpy as np
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.report.console import show
from parity.report.text import render
from parity.verdict.status import judged

one, two = np.float32([1, 2]), np.float32([1, 3])
taps = lambda other: judged([diff_arrays(f"blocks.{i}.output", one, other) for i in range(3)])
as_ = lambda status, other: [
    dataclasses.replace(each, status=status, reason="") for each in taps(other)
]
columns = [
    Column("ours", {}, taps(one)),
    Column("IDENTICAL", {}, taps(one)),
    *(Column(f"variant {i} [red]x[/red] :smile:", {}, as_("diverged", two)) for i in range(4)),
    Column("rounded", {}, as_("rounding", two)),
    Column("open", {}, taps(two)),
    Column("none", {}, []),
]
comparison = Comparison({}, columns, blind_spots=["https://example.org 'text' 12"])
if sys.argv[1] == "plain":
    print(render(comparison, sys.argv[2], int(sys.argv[3])))
else:
    show(comparison, sys.argv[2])
"""
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
CLEAN = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}


def piped(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", SHOW, *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**CLEAN, **environment}
    ).stdout


def on_terminal(columns: int, form: str = "table", **environment: str) -> str:
    """What a process writes to a pseudo-terminal of that many columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW, "show", form],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**CLEAN, **environment},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            some = os.read(ours, 1 << 16)
        except OSError:  # Linux says so of a terminal that nobody has open
            break
        if not some:
            break
        written += some
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def plain() -> str:
    return piped("plain", "table", "80")


def test_a_pipe_gets_plain_text(plain: str) -> None:
    assert piped("show", "table") == plain
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_a_terminal_gets_the_same_text_in_colour(plain: str) -> None:
    written = on_terminal(80)
    assert ESCAPE.sub("", written) == plain
    assert "\x1b[32mIDENTICAL\x1b[0m" in written
    assert written.count("\x1b[1;31mDIVERGED\x1b[0m at blocks.0.output") == 4
    assert "\nIDENTICAL " in written  # a column's name is no verdict
    assert "\x1b[33mROUNDING\x1b[0m from blocks.0.output" in written
    assert "\x1b[35mUNJUDGED\x1b[0m at blocks.0.output" in written
    assert "\x1b[33mnothing\x1b[0m compared" in written
    bold = re.findall(r"\x1b\[1m(.*?)\x1b\[0m", written)
    assert [line.split()[:2] for line in bold] == [["blocks", "elements"]] * plain.count(
        "blocks  el"
    )
    assert len(ESCAPE.findall(written)) == 2 * (len(bold) + 9)


def test_a_wide_terminal_is_not_filled(plain: str) -> None:
    assert ESCAPE.sub("", on_terminal(200)) == plain


@pytest.mark.parametrize("columns", [60, 44])
def test_a_narrow_terminal_folds_the_table_at_its_width(columns: int) -> None:
    written = ESCAPE.sub("", on_terminal(columns))
    assert written == piped("plain", "table", str(columns))
    assert max(map(len, written.splitlines())) <= columns


@pytest.mark.parametrize(
    "environment",
    [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}],
    ids=str,
)
def test_colour_can_be_forbidden(environment: dict[str, str], plain: str) -> None:
    assert on_terminal(80, **environment) == plain


def test_colour_can_be_forced(plain: str) -> None:
    written = piped("show", "table", FORCE_COLOR="1")
    assert "\x1b[32mIDENTICAL\x1b[0m" in written
    assert ESCAPE.sub("", written) == plain
    assert piped("show", "table", FORCE_COLOR="1", NO_COLOR="1") == plain


@pytest.mark.parametrize("form", ["csv", "json", "markdown"])
def test_what_programs_read_is_never_coloured(form: str) -> None:
    assert on_terminal(80, form, FORCE_COLOR="1") == piped("plain", form, "80")
