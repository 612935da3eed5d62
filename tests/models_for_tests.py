"""The models of tests/parity/models as modules, as they stand and with edits of their source."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent / "parity" / "models"
_numbers = itertools.count()


@functools.cache
def model(name: str) -> ModuleType:
    """A model as it stands: `build(dtype)` makes what is called on `inputs(dtype)`."""
    return _loaded(FOLDER / f"{name}.py")


def edited(name: str, edits: Sequence[tuple[str, str]], folder: Path) -> ModuleType:
    """A model in whose source each first piece of text, which stands there once, is the second."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    for old, new in edits:
        assert text.count(old) == 1, f"{text.count(old)} times in {name}: {old}"
        text = text.replace(old, new)
    path = folder / f"{name}_{next(_numbers)}.py"
    path.write_text(text, encoding="utf-8")
    return _loaded(path)


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"model_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
