"""Lists of what is wrong, as one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST = 20


def folded(items: Sequence[str], most: int = _MOST, separator: str = "; ") -> str:
    """The items in one line, the tail of a long list as a count."""
    rest = [f"and {len(items) - most} more"] if len(items) > most else []
    return separator.join([*items[:most], *rest])


def shown_name(name: str) -> str:
    """A name that a file gave, fit for one line of a terminal: no control characters, not long."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= 120 else text[:117] + "..."


def brief(error: Exception) -> str:
    """What a library said, in one line, not long."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


def named(names: Iterable[str]) -> str:
    """Names in one line."""
    return folded([shown_name(name) for name in names], separator=", ")
