"""Where in the source an operation was written."""

from __future__ import annotations

import dis
import functools
import importlib.util
import inspect
import linecache
import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.extend import core

# Frames of these are not where a model's author would look.
_LIBRARIES = (
    *("jax", "jaxlib", "numpy", "flax", "equinox", "haiku", "einops"),
    *("jaxtyping", "typeguard", "beartype", "kauldron", "opt_einsum", "scipy"),
)
_TOOLKIT = f"{Path(__file__).parents[1]}{os.sep}"
# Code without a file is typed in by a user, but for what Python and decorators make.
_GENERATED = ("<frozen ", "<__array_function__", "<attrs generated", "<decorator-gen", "<@beartype")


@dataclass(frozen=True, eq=False)
class Location:
    """A line of a model's source, and the line that called its function, and so on outwards.

    `file` is empty where nothing is known, and such as `<stdin>` where code was typed in. Equal
    ones are one object (`location`).
    """

    file: str
    line: int
    function: str = ""
    caller: Location | None = None

    @property
    def text(self) -> str:
        """The source line, stripped; empty where it isn't known, as after `exec`."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def place(self) -> tuple[str, int]:
        return self.file, self.line

    def __str__(self) -> str:
        """The line and the path from here, or its last three parts within its package."""
        if not self.file:
            return "unknown place"
        path = Path(self.file)
        if path.is_relative_to(_current()) and not in_library(self.file):
            return f"{path.relative_to(_current())}:{self.line}"
        tops = (folder for folder in path.parents if not (folder / "__init__.py").is_file())
        top = next(tops, path.parent)
        inside = path if top == path.parent else path.relative_to(top)
        return f"{Path(*inside.parts[-3:])}:{self.line}"


def _current() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path("/nowhere")


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
        elif not in_library(frame.file_name) and not _of_dataclass(frame):
            found = location(frame.file_name, frame.line_num, frame.function_name, found)
    return found or NOWHERE


@functools.cache
def location(file: str, line: int, function: str, caller: Location | None) -> Location:
    """The one object that stands for a line in a call of a function."""
    return Location(file, line, function, caller)


def end_of(fn: Callable[..., Any]) -> Location:
    """The line at which a function returns; that of its head where it does so at several.

    `NOWHERE` where it is a library's or not written in Python.
    """
    inner = inspect.unwrap(fn)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not inspect.isroutine(inner):
        inner = type(inner).__call__
    code = getattr(inspect.unwrap(inner), "__code__", None)
    if code is None or in_library(code.co_filename):
        return NOWHERE
    places = (i.positions for i in dis.get_instructions(code) if _returns(i))
    returns = {place.lineno for place in places if place is not None}
    line = returns.pop() if len(returns) == 1 else code.co_firstlineno
    return location(code.co_filename, line or code.co_firstlineno, code.co_qualname, None)


def _returns(instruction: dis.Instruction) -> bool:
    return instruction.opname.startswith("RETURN_") and instruction.opname != "RETURN_GENERATOR"


def body_is_library(program: core.ClosedJaxpr) -> bool:
    """The called function was written in a library."""
    info: Any = program.jaxpr.debug_info
    _, _, place = str(getattr(info, "func_src_info", "")).rpartition(" at ")
    return in_library(place.rsplit(":", 1)[0])


def _of_dataclass(frame: Any) -> bool:
    """A method that `dataclasses` wrote: it stands in `<string>`, as a user's code may."""
    return str(frame.function_name).startswith("__create_fn__.")


@functools.cache
def in_library(file: str) -> bool:
    """A file that doesn't hold a model: a library's, Python's or this toolkit's own."""
    if not file or file.startswith((*_GENERATED, *_folders())):
        return True
    return any(_below(Path(file), folder) for folder in _python())


@functools.cache
def _folders() -> tuple[str, ...]:
    """Each ends with a separator, or `jax` would take in a `jaxformer` beside it."""
    specs = [importlib.util.find_spec(name) for name in _LIBRARIES]
    places = [place for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return (*(f"{place}{os.sep}" for place in places), _TOOLKIT)


def _python() -> set[str]:
    return {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib")}


def _below(file: Path, standard_library: str) -> bool:
    """In Python's own library; other packages lie below it in some installations."""
    if not file.is_relative_to(standard_library):
        return False
    inside = file.relative_to(standard_library).parts
    return inside[0] not in ("site-packages", "dist-packages")
