"""Functions and values named on a command line: `file.py:name`, `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from parity.errors import RequestError


def names_a_function(word: str) -> bool:
    """Whether a word of a command line is of the form `WHERE:NAME`."""
    where, colon, name = word.rpartition(":")
    return bool(where and colon and name)


def load_named(word: str, argument: str) -> Any:
    """What `file.py:name` or `module:name` names; dots in the name reach into objects.

    The file's folder, or for a module the working folder, can be imported from, as when Python
    runs a script.

    Args:
      argument: what messages call the word, such as `--reference`.

    Raises:
      RequestError: no such file, module or name, or running the file fails.
    """
    where, colon, name = word.rpartition(":")
    if not (where and colon and name):
        raise RequestError(
            f"{argument} must read file.py:function or module:function; got {word!r}"
        )
    is_file = where.endswith(".py")
    module = _file(Path(where), argument) if is_file else _module(where, argument)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise RequestError(f"{argument}: {where} has no {name!r}; {_there(module)}")
        found = getattr(found, part)
    return found


def load_function(word: str, argument: str) -> Callable[..., Any]:
    """The function, or other callable, that a word names.

    Raises:
      RequestError: there is none, or it can't be called.
    """
    found = load_named(word, argument)
    if not callable(found):
        raise RequestError(
            f"{argument}: {word} is a {type(found).__name__}, expected a function or a module"
        )
    function: Callable[..., Any] = found
    return function


def load_inputs(word: str, argument: str = "--inputs") -> tuple[Any, ...]:
    """The arguments that a word names: a function that makes them, or the arguments themselves.

    A tuple holds several arguments; anything else is one.

    Raises:
      RequestError: there is no such thing, or making them fails.
    """
    found = load_named(word, argument)
    if callable(found):
        try:
            found = found()
        except (Exception, SystemExit) as error:  # whatever a stranger's function raises
            raise RequestError(
                f"{argument}: {word} must give the inputs when it is called without arguments; "
                f"{failure(error)}"
            ) from error
    return found if type(found) is tuple else (found,)


def failure(error: BaseException) -> str:
    """An exception in a line: its type, first line, and where in a user's file it was raised."""
    text = str(error).strip().splitlines()
    brief = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    toolkit = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((toolkit, "<frozen"))
        and "site-packages" not in frame.filename
    ]
    return f"{brief} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else brief


def _file(path: Path, argument: str) -> ModuleType:
    if not path.is_file():
        raise RequestError(f"{argument}: no file {path}")
    resolved = path.resolve()
    name = f"parity_user_{resolved.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(resolved):
        return known  # ours, reference and inputs of one file share what it makes
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise RequestError(f"{argument}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    _importable(resolved.parent)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a stranger's file raises
        del sys.modules[name]
        raise RequestError(f"{argument}: running {path} failed: {failure(error)}") from error
    return module


def _module(name: str, argument: str) -> ModuleType:
    _importable(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        hint = f"; a file is named as {name}.py:function" if error.name == name else ""
        raise RequestError(f"{argument}: {failure(error)}{hint}") from error
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        raise RequestError(f"{argument}: importing {name} failed: {failure(error)}") from error


def _importable(folder: Path) -> None:
    """Its files are what is imported by their names: another folder may have a `layers.py`, too."""
    for name in [*{path.stem for path in folder.glob("*.py")}, *_packages(folder)]:
        known = getattr(sys.modules.get(name), "__file__", None)
        if known is not None and any(Path(known).is_relative_to(own) for own in _ADDED - {folder}):
            for held in [n for n in sys.modules if n == name or n.startswith(f"{name}.")]:
                del sys.modules[held]
    if str(folder) not in sys.path:
        _ADDED.add(folder)
        sys.path.insert(0, str(folder))
    elif folder in _ADDED:
        sys.path.remove(str(folder))
        sys.path.insert(0, str(folder))


# Folders of users' files that were put in the path.
_ADDED: set[Path] = set()


def _packages(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def _there(module: ModuleType) -> str:
    names = [
        name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
    ]
    own = [n for n in names if getattr(getattr(module, n), "__module__", "") == module.__name__]
    if not own:
        return "it defines no function"
    return f"it defines {', '.join(own[:5])}{', …' if len(own) > 5 else ''}"
