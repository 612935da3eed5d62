"""Parameters from a checkpoint, tensor by tensor, whatever its format."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import jax
import numpy as np

from jaxformer.checkpoint.buffers import aligned_empty
from jaxformer.checkpoint.casting import all_finite, resolve_dtype
from jaxformer.checkpoint.messages import named
from jaxformer.checkpoint.schema import Entry, entries, letters
from jaxformer.config import Config
from jaxformer.errors import UsageError
from jaxformer.params import Params, abstract_params

Progress = Callable[[str], None]
_SECONDS_BETWEEN_REPORTS = 2.0


class Source(Protocol):
    """Reads tensors of one checkpoint that was found to be whole."""

    def groups(self, wanted: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
        """The wanted tensors, those together that are stored as one."""
        ...

    def fill(self, group: Mapping[Entry, np.ndarray]) -> None:
        """Write a group's values into arrays of our layout, converted to their dtype.

        Raises:
          UsageError: the file can't be read, or is not what it was when it was opened.
        """
        ...


def load(
    source: Source,
    config: Config,
    *,
    label: str,
    stored: str,
    dtype: str | None,
    blocks: int | None,
    progress: Progress,
) -> Params:
    """The parameters, in at most their own memory and that of one stored tensor.

    Args:
      label: the checkpoint, for messages.
      stored: dtype of the stored tensors.

    Raises:
      UsageError: a dtype or depth that can't be had; a damaged file; weights that are no numbers.
    """
    depth = config.num_blocks if blocks is None else blocks
    if not 1 <= depth <= config.num_blocks:
        raise UsageError(f"blocks must be from 1 to {config.num_blocks}, got {blocks}")
    target = resolve_dtype(stored, dtype)
    rounds = target.itemsize < np.dtype(stored).itemsize
    sizes = letters(config)
    wanted = list(entries(depth))
    total = sum(math.prod(entry.shape(sizes)) for entry in wanted)
    report = _Reporter(progress, total)
    note = f", rounded to nearest even from {stored}" if rounds else ""
    progress(f"reading {label}: {total * target.itemsize / 1e9:.2f} GB as {target.name}{note}")
    arrays: dict[str, jax.Array] = {}
    bad: list[str] = []
    # The largest first: while one is read, as little else as can be is held.
    groups = sorted(source.groups(wanted), key=lambda g: -sum(math.prod(e.shape(sizes)) for e in g))
    for group in groups:
        buffers = {
            entry: aligned_empty(math.prod(shape), target).reshape(shape)
            for entry in group
            for shape in [entry.shape(sizes)]
        }
        source.fill(buffers)
        for entry, buffer in buffers.items():
            if not all_finite(buffer):
                bad.append(entry.ours)
            else:
                # Aligned as it is, the CPU backend takes the buffer over without a copy.
                arrays[entry.ours] = jax.device_put(buffer)
            report.read(buffer.size)
    if bad:
        raise UsageError(
            f"{label} has NaN or infinite weights (as {target.name}) in {named(bad)}: "
            "it is damaged or was saved from a run that diverged"
        )
    tree = jax.tree.structure(abstract_params(config, target, blocks=depth))
    return jax.tree.unflatten(tree, [arrays[entry.ours] for entry in wanted])


class _Reporter:
    """Says which share has been read, every two seconds."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._last = time.monotonic()

    def read(self, elements: int) -> None:
        self._done += elements
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = now
            self._progress(f"read {self._done / self._total:.0%}")
