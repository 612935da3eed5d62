"""Hugging Face folders: reading the text model's tensors, and writing such a folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from jaxformer.checkpoint.casting import convert
from jaxformer.checkpoint.hf_names import TextTensors, text_tensors
from jaxformer.checkpoint.json_files import CONFIG, write_json
from jaxformer.checkpoint.messages import brief, folded
from jaxformer.checkpoint.saving import checked_leaves, new_folder
from jaxformer.checkpoint.schema import HF_PREFIXES, Entry, entries, letters
from jaxformer.checkpoint.shards import INDEX, SINGLE, Stored, find_shards
from jaxformer.config import Config
from jaxformer.errors import UsageError
from jaxformer.params import Params

_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class SafetensorsSource:
    """A whole checkpoint in so many files."""

    text: TextTensors
    files: int

    def groups(self, wanted: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
        return ([entry] for entry in wanted)

    def fill(self, group: Mapping[Entry, np.ndarray]) -> None:
        prefix, tied = self.text.prefix, self.text.tied
        for entry, out in group.items():
            for index, name in enumerate(entry.hf):
                self._fill(entry, prefix + name, entry.part(out, index))
            if tied is not None and entry.ours == "embedding":
                self._check_tied(prefix + entry.hf[0], tied)

    def _fill(self, entry: Entry, name: str, ours: np.ndarray) -> None:
        """Read in chunks along the first letter of the stored tensor's first axis."""
        target = entry.rule.split_view(ours)
        rows_per_step = math.prod(target.shape[1 : len(entry.rule.groups[0])])
        step = max(1, _CHUNK_BYTES // (math.prod(target.shape[1:]) * target.itemsize))
        with self._opened(name) as stored:
            for start in range(0, len(target), step):
                part = target[start : start + step]
                rows = slice(start * rows_per_step, (start + len(part)) * rows_per_step)
                convert(stored[rows].reshape(part.shape), part)

    def _check_tied(self, embedding: str, tied: str) -> None:
        rows, width = self.text.tensors[embedding].shape
        step = max(1, _CHUNK_BYTES // (4 * width))
        with self._opened(embedding) as ours, self._opened(tied) as theirs:
            for start in range(0, rows, step):
                part = slice(start, min(start + step, rows))
                if ours[part].tobytes() != theirs[part].tobytes():
                    folder = self.text.tensors[embedding].file.parent
                    raise UsageError(
                        f"{folder} can't be loaded: {tied} differs from {embedding}, which Gemma 3 "
                        "ties; it was trained or saved as another model"
                    )

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        """The stored tensor, memory-mapped, to be sliced."""
        expected = self.text.tensors[name]
        try:
            with safetensors.safe_open(expected.file, framework="numpy") as file:
                stored = file.get_slice(name)
                found = Stored(expected.file, stored.get_dtype(), tuple(stored.get_shape()))
                if found != expected:
                    raise UsageError(f"{expected.file} has changed since it was opened")
                yield stored
        except (safetensors.SafetensorError, OSError) as error:
            raise UsageError(f"{expected.file} can't be read ({brief(error)})") from error


def inspect(folder: Path, config: Config, vocab_rows: int) -> SafetensorsSource:
    """The source of a folder's text model, if the folder holds all of it and nothing unknown.

    Raises:
      UsageError: all that is unknown, missing, doubled, misplaced, of a wrong shape or dtype.
    """
    shards = find_shards(folder)
    problems = list(shards.problems)
    if shards.tensors:
        text = text_tensors(shards, config, vocab_rows, problems)
    elif not problems:
        problems.append("there are no tensors in it")
    if problems:
        raise UsageError(f"{folder} can't be loaded: {folded(problems)}")
    return SafetensorsSource(text, len(shards.files))


def save_safetensors(
    params: Params,
    config: Config,
    folder: str | Path,
    *,
    max_shard_bytes: int = 1 << 30,
    prefix: str = "model.",
) -> None:
    """Write a folder that transformers' `Gemma3ForCausalLM.from_pretrained` loads.

    Shards are written one after the other; one at a time is held beside the parameters.

    Args:
      folder: must not exist, or be empty. It appears when all of it is written.
      max_shard_bytes: of tensors per file; a larger tensor has a file of its own.
      prefix: of tensor names, one of those that Hugging Face folders have.

    Raises:
      UsageError: the folder is taken or can't be written, or the parameters aren't the config's.
    """
    if prefix not in HF_PREFIXES:
        raise UsageError(f"prefix must be one of {', '.join(HF_PREFIXES)}, got {prefix!r}")
    if max_shard_bytes < 1:
        raise UsageError(f"max_shard_bytes must be at least 1, got {max_shard_bytes}")
    arrays, dtype = checked_leaves(params, config)
    shards = _plan(config, dtype.itemsize, max_shard_bytes)
    names = [SINGLE]
    if len(shards) > 1:
        names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    weight_map: dict[str, str] = {}
    total = 0
    with new_folder(Path(folder)) as partial:
        for name, shard in zip(names, shards, strict=True):
            tensors = {
                prefix + hf: _stored(entry, index, np.asarray(arrays[entry.ours]))
                for entry, index, hf in shard
            }
            total += sum(tensor.nbytes for tensor in tensors.values())
            weight_map |= dict.fromkeys(tensors, name)
            _write_shard(partial / name, tensors)
        if len(shards) > 1:
            index_json = {"metadata": {"total_size": total}, "weight_map": weight_map}
            write_json(partial / INDEX, index_json)
        # Older versions of transformers look for torch_dtype.
        dtypes = {"dtype": dtype.name, "torch_dtype": dtype.name}
        write_json(partial / CONFIG, config.to_hf() | dtypes)
        for name in names:  # safetensors leaves them to their owner alone
            (partial / name).chmod((partial / CONFIG).stat().st_mode)


def _plan(config: Config, itemsize: int, most: int) -> list[list[tuple[Entry, int, str]]]:
    """Tensors in order, as many to a shard as fit: each as (entry, part of it, name)."""
    sizes = letters(config)
    shards: list[list[tuple[Entry, int, str]]] = [[]]
    room = most
    for entry in entries(config.num_blocks):
        size = math.prod(entry.rule.hf_shape(sizes)) * itemsize
        for index, name in enumerate(entry.hf):
            if size > room and shards[-1]:
                shards.append([])
                room = most
            room -= size
            shards[-1].append((entry, index, name))
    return shards


def _stored(entry: Entry, index: int, ours: np.ndarray) -> np.ndarray:
    """One Hugging Face tensor."""
    split = entry.rule.split_view(entry.part(ours, index))
    lengths = iter(split.shape)
    shape = [math.prod(next(lengths) for _ in group) for group in entry.rule.groups]
    return np.ascontiguousarray(split).reshape(shape)


def _write_shard(path: Path, tensors: dict[str, np.ndarray]) -> None:
    try:
        # transformers refuses files that don't say which framework's layout they have.
        safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
    except safetensors.SafetensorError as error:
        raise UsageError(f"{path.name} can't be written ({brief(error)})") from error
