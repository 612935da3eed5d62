"""Subjects by name: those that packages register by an entry point, and any function."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from parity.errors import RequestError
from parity.subjects.functions import FunctionSubject, names_a_function
from parity.subjects.subject import Subject

GROUP = "parity.subjects"
DEFAULT = "gemma"


def chosen(arguments: Sequence[str]) -> tuple[Subject, list[str]]:
    """The subject that a command's first argument names, and the arguments that follow.

    A first argument that is an option leaves the default subject chosen.

    Raises:
      RequestError: no such subject, or one that can't be loaded.
    """
    if not arguments or arguments[0].startswith("-"):
        return named(DEFAULT), list(arguments)
    first, *rest = arguments
    if names_a_function(first):
        return FunctionSubject(first), rest
    return named(first), rest


def named(name: str) -> Subject:
    """A registered subject.

    Raises:
      RequestError: there is none of that name, or it can't be loaded.
    """
    found = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    if name not in found:
        there = f"there are {', '.join(sorted(found))}; " if found else ""
        raise RequestError(
            f"no subject {name!r}; {there}a function is named as file.py:function or "
            "module:function"
        )
    try:
        subject: Subject = found[name].load()()
    except ImportError as error:
        raise RequestError(
            f"the subject {name!r} can't be loaded ({error}); install what it needs, or name a "
            "function as file.py:function"
        ) from error
    return subject
