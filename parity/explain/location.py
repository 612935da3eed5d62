"""Where in the source an operation was written."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.extend import core

# Frames of these are not where a model's author would look.
_LIBRARIES = ("jax", "jaxlib", "numpy", "flax", "jaxtyping", "typeguard", "einops", "kauldron")
_TOOLKIT = str(Path(__file__).parents[1])


@dataclass(frozen=True, eq=False)
class Location:
    """A line of a model's source, and the line that called its function, and so on outwards.

    `file` is empty where nothing is known. Equal ones are one object (`_location`).
    """

    file: str
    line: int
    function: str = ""
    caller: Location | None = None

    @property
    def text(self) -> str:
        """The source line, stripped."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def place(self) -> tuple[str, int]:
        return self.file, self.line

    def __str__(self) -> str:
        """The last three parts of its path, none of them outside of its package, and the line."""
        if not self.file:
            return "unknown place"
        path = Path(self.file)
        tops = (folder for folder in path.parents if not (folder / "__init__.py").is_file())
        top = next(tops, path.parent)
        inside = path if top == path.parent else path.relative_to(top)
        return f"{Path(*inside.parts[-3:])}:{self.line}"


NOWHERE = Location("", 0)


def location_of(eqn: core.JaxprEqn, outer: Location | None) -> Location:
    """The innermost line outside of libraries.

    Args:
      outer: of the call whose body holds the operation, if any. Bodies of library functions, like
        `jnp.where`, are traced once and then shared, so their own frames are of the first caller.
    """
    if outer is not None:
        return outer
    traceback = eqn.source_info.traceback
    found: Location | None = None
    frames: list[Any] = list(traceback.frames) if traceback is not None else []
    for frame in reversed(frames):
        if frame.file_name.startswith(_TOOLKIT):
            found = None  # what called the replay is no part of the model
        elif not in_library(frame.file_name):
            found = _location(frame.file_name, frame.line_num, frame.function_name, found)
    return found or NOWHERE


@functools.cache
def _location(file: str, line: int, function: str, caller: Location | None) -> Location:
    return Location(file, line, function, caller)


def body_is_library(program: core.ClosedJaxpr) -> bool:
    """The called function was written in a library."""
    info: Any = program.jaxpr.debug_info
    _, _, place = str(getattr(info, "func_src_info", "")).rpartition(" at ")
    return in_library(place.rsplit(":", 1)[0])


@functools.cache
def in_library(file: str) -> bool:
    """A file that doesn't hold a model: a library's, Python's or this toolkit's own."""
    return not file or file.startswith(("<", *_folders()))


@functools.cache
def _folders() -> tuple[str, ...]:
    specs = [importlib.util.find_spec(name) for name in _LIBRARIES]
    folders = [place for spec in specs if spec for place in spec.submodule_search_locations or ()]
    python = sysconfig.get_paths()["stdlib"]
    # Site packages lie below the standard library in some installations.
    inside = [str(p) for p in Path(python).iterdir() if p.name != "site-packages"]
    return (*folders, _TOOLKIT, *inside)
