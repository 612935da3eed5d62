"""What a user's function raised, in one line."""

from __future__ import annotations

import functools
import linecache
import sysconfig
import traceback
from pathlib import Path

import jax

from parity.errors import RequestError

# What comes after the first line of a message of JAX's, or beyond this, explains it at length.
_LONGEST = 300


def failure(label: str, error: BaseException) -> RequestError:
    """That `label` can't be run: the error's type and first line, and where the user wrote it."""
    lines = str(error).strip().splitlines() or [""]
    message = f"{label} can't be run: {type(error).__name__}: {lines[0].strip()[:_LONGEST]}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame)]
    if not frames:
        return RequestError(message)
    innermost = frames[-1]
    text = linecache.getline(innermost.filename, innermost.lineno or 0).strip()
    place = f"{Path(innermost.filename).name}:{innermost.lineno}"
    return RequestError(f"{message} ({place}{': ' if text else ''}{text})")


def _is_users(frame: traceback.FrameSummary) -> bool:
    """Written by a user: not part of this package, of an installed one or of Python."""
    if frame.filename.startswith("<frozen"):
        return False
    return not any(Path(frame.filename).is_relative_to(folder) for folder in _folders())


@functools.cache
def _folders() -> tuple[Path, ...]:
    python = sysconfig.get_paths()
    installed = {Path(python[kind]) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (*installed, Path(jax.__file__).parent, Path(__file__).parents[1])
