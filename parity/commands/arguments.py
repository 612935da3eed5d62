"""What the commands share: a parser, checks of arguments, progress and exit statuses.

Imported by `--help`, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import time
from collections.abc import Callable
from typing import NoReturn

from parity.errors import RequestError

HOLDS, DIFFERS, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
# What a command can be asked about, for its usage line.
ABOUT = "[SUBJECT|FILE.py:FUNCTION] [options]"
_WIDTH = 80


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see --help")


def paragraphs(*texts: str) -> str:
    """Each folded at the width of `--help`, for a parser that leaves line breaks as they are."""
    return "\n".join(textwrap.fill(text, _WIDTH) for text in texts)


class Progress:
    """Says on stderr, with the time since the start, what is being done."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, message: str) -> None:
        elapsed = time.monotonic() - self._start
        print(f"[{elapsed:6.1f} s] {message}", file=sys.stderr, flush=True)


def run_command(name: str, command: Callable[[list[str]], int], arguments: list[str] | None) -> int:
    """Run a command's body; the caller's mistakes become one line on stderr and status 2."""
    try:
        return command(sys.argv[1:] if arguments is None else arguments)
    except RequestError as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; without this, closing stdout would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HOLDS
