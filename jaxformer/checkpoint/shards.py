"""Which safetensors file of a Hugging Face folder holds which tensor, by the headers and the index.

Only headers are read here. The index and the files must say the same.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import safetensors

from jaxformer.checkpoint.json_files import read_json_object
from jaxformer.checkpoint.messages import brief, shown_name
from jaxformer.errors import UsageError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Stored:
    """One tensor by its header; `dtype` is spelled as safetensors does (BF16)."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


@dataclass
class Shards:
    """What the files hold.

    Attributes:
      tensors: by full name.
      lost: names that the index puts in files which can't be read.
      problems: what is wrong so far.
    """

    files: list[Path] = field(default_factory=list)
    tensors: dict[str, Stored] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def find_shards(folder: Path) -> Shards:
    """Headers of `model.safetensors`, or of the files that the index names.

    Raises:
      UsageError: there are both, or an index that can't be read.
    """
    single, index = folder / SINGLE, folder / INDEX
    if single.exists() and index.exists():
        raise UsageError(f"{folder} has both {SINGLE} and {INDEX}: remove the one that is stale")
    shards = Shards()
    if single.exists():
        _add_file(shards, single)
        return shards
    weight_map = _weight_map(index, shards.problems)
    for name in sorted(set(weight_map.values())):
        expected = {tensor for tensor, file in weight_map.items() if file == name}
        if (folder / name).is_file():
            _add_file(shards, folder / name, expected)
        else:
            shards.lost |= expected
            shards.problems.append(f"{INDEX} names {shown_name(name)}, which is not there")
    _compare_with_index(shards, weight_map)
    return shards


def _add_file(shards: Shards, path: Path, expected: set[str] | None = None) -> None:
    shards.files.append(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                part = file.get_slice(name)
                stored = Stored(path, part.get_dtype(), tuple(part.get_shape()))
                if name in shards.tensors:
                    shards.problems.append(
                        f"{shown_name(name)} is in {shards.tensors[name].file.name} and in "
                        f"{path.name}"
                    )
                shards.tensors[name] = stored
    except (safetensors.SafetensorError, OSError) as error:
        shards.lost |= expected or set()
        shards.problems.append(
            f"{path.name} is damaged or cut short ({brief(error)}): fetch it again"
        )


def _weight_map(index: Path, problems: list[str]) -> dict[str, str]:
    found = read_json_object(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise UsageError(f"{index} must have a weight_map, from tensor to file name")
    weight_map = {}
    for tensor, file in found.items():
        # Names from a file never lead out of the folder.
        if isinstance(file, str) and file == Path(file).name and file.endswith(".safetensors"):
            weight_map[tensor] = file
        else:
            problems.append(
                f"{INDEX} puts {shown_name(tensor)} in {shown_name(str(file))}, which is no "
                "safetensors file of this folder"
            )
    return weight_map


def _compare_with_index(shards: Shards, weight_map: dict[str, str]) -> None:
    for name, stored in shards.tensors.items():
        if name not in weight_map:
            shards.problems.append(f"{shown_name(name)} is in {stored.file.name}, not in {INDEX}")
        elif weight_map[name] != stored.file.name:
            shards.problems.append(
                f"{INDEX} puts {shown_name(name)} in {weight_map[name]}, it is in "
                f"{stored.file.name}"
            )
    absent = defaultdict(list)
    for name, file in weight_map.items():
        if name not in shards.tensors and name not in shards.lost:
            absent[file].append(name)
    for file, names in absent.items():
        shards.problems += [
            f"{INDEX} puts {shown_name(name)} in {file}, it is not" for name in names
        ]
        shards.lost |= set(names)
