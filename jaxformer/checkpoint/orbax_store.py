"""The arrays of an Orbax folder: their keys, by `_METADATA`, and reading them by TensorStore.

TensorStore is what Orbax itself reads by. Used directly, damage is one exception; Orbax's event
loop would add a traceback on stderr for each read that was under way.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxformer.checkpoint.json_files import read_json_object
from jaxformer.checkpoint.messages import brief, folded, shown_name
from jaxformer.errors import UsageError

INSTALL = "pip install -c constraints.txt orbax-checkpoint"
METADATA = "_METADATA"
MARKERS = (METADATA, "_CHECKPOINT_METADATA", "manifest.ocdbt")

_FLAGS = ("use_ocdbt", "use_zarr3", "store_array_data_equal_to_fill_value")
_DICT_KEY = 2
_ARRAYS = ("jax.Array", "np.ndarray")
# What a trainer saves beside the parameters.
_TRAINING = {"opt_state", "params", "step"}


@dataclass(frozen=True)
class Stored:
    """One opened array; nothing of it but shape and dtype has been read."""

    shape: tuple[int, ...]
    dtype: str
    store: Any


@dataclass(frozen=True)
class OrbaxFolder:
    """An Orbax folder.

    Attributes:
      paths: by joined name (`a/b/c`), the keys under which each array is nested.
      ocdbt, zarr3: how arrays are stored.
      zeros_stored: a part that isn't there is an error; otherwise it is zeros, as older versions
        of Orbax left them out.
    """

    folder: Path
    paths: Mapping[str, tuple[str, ...]]
    ocdbt: bool
    zarr3: bool
    zeros_stored: bool

    def open(self, names: Sequence[str]) -> dict[str, Stored]:
        """Those arrays, opened.

        Raises:
          UsageError: one isn't there or is damaged.
        """
        opening = {name: self._open(".".join(self.paths[name])) for name in names}
        with self._reading():
            found = {name: future.result() for name, future in opening.items()}
        return {
            name: Stored(tuple(store.shape), store.dtype.name, store)
            for name, store in found.items()
        }

    def read(self, stored: Stored) -> np.ndarray:
        """The values.

        Raises:
          UsageError: they can't be read.
        """
        with self._reading():
            array: np.ndarray = stored.store.read().result()
        return array

    def _open(self, key: str) -> Any:
        root = f"{self.folder.absolute()}/"
        kvstore: dict[str, Any] = {"driver": "file", "path": f"{root}{key}/"}
        if self.ocdbt:
            base = {"driver": "file", "path": root}
            kvstore = {"driver": "ocdbt", "base": base, "path": f"{key}/"}
        spec = {
            "driver": "zarr3" if self.zarr3 else "zarr",
            "kvstore": kvstore,
            "fill_missing_data_reads": not self.zeros_stored,
        }
        return import_or_name("tensorstore").open(spec, open=True, read=True)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.folder} is damaged or incomplete, fetch it again ({brief(error)})"
            ) from error


def read_metadata(folder: Path) -> OrbaxFolder:
    """The keys of every array.

    Raises:
      UsageError: there is no metadata, or it isn't that of nested dictionaries of arrays.
    """
    if not (folder / METADATA).is_file():
        below = folder / "default"
        hint = f": {below} does" if (below / METADATA).is_file() else ""
        raise UsageError(f"{folder} has no {METADATA}, as Orbax checkpoints do{hint}")
    metadata = read_json_object(folder / METADATA)
    tree = metadata.get("tree_metadata")
    if not isinstance(tree, dict) or not tree:
        raise UsageError(f"{folder / METADATA} must have a tree_metadata that names arrays")
    problems = [
        f"{flag} must be true or false"
        for flag in _FLAGS
        if not isinstance(metadata.get(flag), bool | None)
    ]
    keys = {name: _keys(entry) for name, entry in tree.items()}
    if {path[0] for path in keys.values() if path} >= _TRAINING:
        raise UsageError(
            f"{folder} is a trainer's checkpoint, with the optimiser's state: save its parameters "
            "alone, with gm.ckpts.save_params"
        )
    paths: dict[str, tuple[str, ...]] = {}
    for name, path in keys.items():
        joined = "/".join(path or ())
        if not path or not _is_array(tree[name]):
            problems.append(f"{shown_name(name)} is no array under keys")
        elif joined in paths:
            problems.append(f"{shown_name(joined)} is there twice")
        else:
            paths[joined] = path
    if problems:
        raise UsageError(f"{folder / METADATA} is damaged: {folded(problems)}")
    ocdbt = metadata.get("use_ocdbt")
    if ocdbt is None:  # older versions of Orbax don't say
        ocdbt = (folder / "manifest.ocdbt").exists()
    zarr3, zeros_stored = (bool(metadata.get(flag)) for flag in _FLAGS[1:])
    return OrbaxFolder(folder, paths, ocdbt, zarr3, zeros_stored)


def import_or_name(module: str) -> Any:
    """A module of Orbax or its dependencies.

    Raises:
      UsageError: not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"Orbax checkpoints need {module} ({error}); install it with: {INSTALL}"
        ) from error


def _keys(entry: Any) -> tuple[str, ...] | None:
    """The keys that lead to one entry; None if they aren't those of dictionaries."""
    keys = entry.get("key_metadata") if isinstance(entry, dict) else None
    if not isinstance(keys, list) or not keys:
        return None
    for key in keys:
        if not isinstance(key, dict) or key.get("key_type") != _DICT_KEY:
            return None
        if not isinstance(key.get("key"), str) or not key["key"]:
            return None
    return tuple(key["key"] for key in keys)


def _is_array(entry: dict[str, Any]) -> bool:
    value = entry.get("value_metadata")
    return (
        isinstance(value, dict)
        and value.get("value_type") in _ARRAYS
        and value.get("skip_deserialize") is False
    )
