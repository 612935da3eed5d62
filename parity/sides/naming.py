"""Pairs of taps that have other names on either side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from parity.errors import RequestError


def renaming(
    names: Mapping[str, str], frames: Sequence[str], reference: Sequence[str]
) -> Callable[[str], str]:
    """A function of our names that gives those of the reference.

    Args:
      names: ours to theirs. `{}` stands for a number, the same on both sides:
        `{"layers[{}].mlp": "h.{}.mlp"}`.
      frames, reference: all names of ours and of the reference, to find a pair that pairs nothing.

    Raises:
      RequestError: a name is none of its side's frames, two of ours get one name, or a pair has
        not as many numbers on either side.
    """
    patterns = []
    for own, theirs in names.items():
        if own.count("{}") != theirs.count("{}"):
            raise RequestError(
                f"names: {own!r} and {theirs!r} must have as many numbers, written {{}}"
            )
        pattern = re.compile(r"(\d+)".join(map(re.escape, own.split("{}"))))
        matches = [match for frame in frames if (match := pattern.fullmatch(frame))]
        if not matches:
            raise RequestError(f"names: ours has no tap {own!r}; it has {_shown(frames)}")
        if not {_filled(theirs, match) for match in matches} & set(reference):
            raise RequestError(
                f"names: the reference has no tap {theirs!r}; it has {_shown(reference)}"
            )
        patterns.append((pattern, theirs))

    def rename(name: str) -> str:
        for pattern, theirs in patterns:
            if found := pattern.fullmatch(name):
                return _filled(theirs, found)
        return name

    given = [rename(frame) for frame in frames]
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"names: two taps of ours would be called {twice!r}; rename one more")
    return rename


def _filled(name: str, match: re.Match[str]) -> str:
    for number in match.groups():
        name = name.replace("{}", number, 1)
    return name


def _shown(frames: Sequence[str]) -> str:
    return ", ".join(map(repr, frames[:4])) + (", …" if len(frames) > 4 else "")
