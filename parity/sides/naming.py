"""Pairs of taps that have other names on either side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from parity.errors import RequestError


def renaming(names: Mapping[str, str], frames: Sequence[str]) -> Callable[[str], str]:
    """A function of our names that gives those of the reference.

    Args:
      names: ours to theirs. `{}` stands for a number, the same on both sides:
        `{"layers[{}].mlp": "h.{}.mlp"}`.
      frames: all names of ours, to find a pair that pairs nothing.

    Raises:
      RequestError: a name of ours is none of its frames, or a pair has not as many numbers on
        either side.
    """
    patterns = []
    for own, theirs in names.items():
        if own.count("{}") != theirs.count("{}"):
            raise RequestError(
                f"names: {own!r} and {theirs!r} must have as many numbers, written {{}}"
            )
        pattern = re.compile(r"(\d+)".join(map(re.escape, own.split("{}"))))
        if not any(pattern.fullmatch(frame) for frame in frames):
            shown = ", ".join(map(repr, frames[:4])) + (", …" if len(frames) > 4 else "")
            raise RequestError(f"names: ours has no tap {own!r}; it has {shown}")
        patterns.append((pattern, theirs))

    def rename(name: str) -> str:
        for pattern, theirs in patterns:
            if found := pattern.fullmatch(name):
                return theirs.format(*found.groups())
        return name

    return rename
