"""The official package's Orbax checkpoints: the text model's tensors, reading and writing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxformer.checkpoint.casting import convert, uniform_dtype
from jaxformer.checkpoint.json_files import CONFIG, write_json
from jaxformer.checkpoint.messages import folded, shown_name
from jaxformer.checkpoint.official_names import (
    LAYOUTS,
    Layout,
    Place,
    arrangement,
    check_tensors,
    is_skipped,
    is_text,
    layout_of,
    place,
    sizes_found,
    tree_path,
)
from jaxformer.checkpoint.orbax_store import OrbaxFolder, Stored, import_or_name, read_metadata
from jaxformer.checkpoint.saving import checked_leaves, new_folder
from jaxformer.checkpoint.schema import Entry, entries, letters
from jaxformer.config import PRESETS, Config
from jaxformer.errors import UsageError
from jaxformer.params import Params

_MOST_BLOCKS = 1 << 10


@dataclass(frozen=True)
class OrbaxSource:
    """A whole checkpoint.

    Attributes:
      tensors: the text model's, by joined name.
      period: of the STACKED layout.
      skipped: how many tensors belong to other, known parts.
    """

    folder: OrbaxFolder
    tensors: Mapping[str, Stored]
    layout: Layout
    period: int
    dtype: str
    skipped: int

    def groups(self, wanted: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
        grouped: dict[str, list[Entry]] = {}
        for entry in wanted:
            grouped.setdefault(self._place(entry).name, []).append(entry)
        return grouped.values()

    def fill(self, group: Mapping[Entry, np.ndarray]) -> None:
        (name,) = {self._place(entry).name for entry in group}
        array = self.folder.read(self.tensors[name])
        for entry, out in group.items():
            index = self._place(entry).index
            convert(array if index is None else array[index], out)

    def _place(self, entry: Entry) -> Place:
        return place(entry, self.layout, self.period)


def inspect(folder: Path, config: Config | None) -> tuple[OrbaxSource, Config]:
    """The source of a folder's text model, and its config: the preset that has these shapes where
    `config` is None.

    Raises:
      UsageError: no preset has these shapes, or all that is unknown, missing, of a wrong shape or
        dtype.
    """
    opened = read_metadata(folder)
    layout = layout_of(opened.paths)
    text = [name for name in opened.paths if is_text(name, layout)]
    others = [name for name in opened.paths if not is_text(name, layout)]
    skipped = [name for name in others if is_skipped(name)]
    problems = [f"{shown_name(name)} is unknown" for name in others if name not in skipped]
    tensors = opened.open(text)
    shapes = {name: stored.shape for name, stored in tensors.items()}
    period, depth = arrangement(shapes, layout)
    if config is None:
        config = _matching_preset(shapes, layout, period, depth, problems)
    if config is not None:
        problems += check_tensors(shapes, layout, period, config)
    dtype = uniform_dtype({name: stored.dtype for name, stored in tensors.items()}, problems)
    if config is None or problems:
        raise UsageError(f"{folder} can't be loaded: {folded(problems)}")
    return OrbaxSource(opened, tensors, layout, period, dtype, len(skipped)), config


def save_orbax(
    params: Params, config: Config, folder: str | Path, *, layout: Layout = "nested"
) -> None:
    """Write a folder that the official `gm.ckpts.load_params` loads, and a `config.json` in it.

    NESTED and FLAT need no copy of the parameters; STACKED makes one.

    Args:
      folder: must not exist, or be empty. It appears when all of it is written.

    Raises:
      UsageError: the folder is taken or can't be written, the parameters aren't the config's, or
        Orbax is not installed.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    arrays, _ = checked_leaves(params, config)
    alone: dict[str, jax.Array] = {}
    stacks: dict[str, list[jax.Array]] = {}
    for entry in entries(config.num_blocks):
        at = place(entry, layout)
        if at.index is None:
            alone[at.name] = arrays[entry.ours]
        else:
            stacks.setdefault(at.name, []).append(arrays[entry.ours])
    stored = alone | {name: jnp.stack(parts) for name, parts in stacks.items()}
    tree = _nested({tree_path(name, layout): array for name, array in stored.items()})
    ocp = import_or_name("orbax.checkpoint")
    with new_folder(Path(folder)) as partial:
        # Orbax makes its folder itself.
        made = partial.absolute() / "orbax"
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(made, tree)
            checkpointer.wait_until_finished()
        for path in made.iterdir():
            path.rename(partial / path.name)
        made.rmdir()
        # Shapes don't tell the window or RoPE. The official package looks past the file.
        write_json(partial / CONFIG, config.to_hf())


def _matching_preset(
    shapes: Mapping[str, tuple[int, ...]],
    layout: Layout,
    period: int,
    depth: int,
    problems: list[str],
) -> Config | None:
    # A length in damaged metadata is no depth to walk through.
    sizes = sizes_found(shapes, layout, period, min(depth, _MOST_BLOCKS))
    for config in PRESETS.values():
        if (config.num_blocks, letters(config)) == (depth, sizes):
            return config
    found = ", ".join([f"{depth} blocks", *(f"{letter} {size}" for letter, size in sizes.items())])
    problems.append(
        f"its shapes are of no preset ({', '.join(PRESETS)}): found {found}; put a {CONFIG} in the "
        "Hugging Face schema in the folder"
    )
    return None


def _nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return tree
