"""What commands share: a parser with one-line complaints, checks of arguments, progress, statuses.

Imported by `--help`, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from jaxformer.errors import UsageError

OK, WRONG_REQUEST, INTERRUPTED = 0, 2, 130


@dataclass(frozen=True)
class Command:
    """One of a program's commands: its help line, its arguments, and its body's exit status."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see --help")


class Progress:
    """Says on stderr, with the time since the start, what is being done."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, message: str) -> None:
        elapsed = time.monotonic() - self._start
        print(f"[{elapsed:6.1f} s] {message}", file=sys.stderr, flush=True)


def run_command(
    name: str,
    command: Callable[[list[str]], int],
    arguments: list[str] | None,
    mistakes: tuple[type[Exception], ...] = (UsageError,),
) -> int:
    """Run a command's body; the caller's mistakes become one line on stderr and status 2."""
    try:
        return command(sys.argv[1:] if arguments is None else arguments)
    except mistakes as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; without this, closing stdout would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    """The value, if it is an allowed word or None.

    Raises:
      UsageError: it is neither.
    """
    if value is not None and value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def integer(name: str, text: str, low: int, high: int, why: str = "") -> int:
    """A whole number from `low` to `high`; `why` says what sets the upper limit.

    Raises:
      UsageError: the text is something else.
    """
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        limit = f", as {why} {high}" if why else ""
        raise UsageError(f"{name} must be a whole number from {low} to {high}{limit}; got {text!r}")
    return value


def number(name: str, text: str) -> float:
    """A finite number.

    Raises:
      UsageError: the text is something else.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name} must be a number; got {text!r}")
    return value


def token_rows(name: str, text: str) -> list[list[int]]:
    """Rows of token ids, `2,818,5279;2,9`; rows may differ in length.

    Raises:
      UsageError: something other than whole numbers.
    """
    try:
        return [[int(token) for token in row.split(",")] for row in text.split(";")]
    except ValueError:
        raise UsageError(
            f"{name} must be whole numbers between commas, ';' between rows; got {text!r}"
        ) from None
