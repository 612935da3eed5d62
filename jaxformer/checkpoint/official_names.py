"""The official package's three layouts: the name of each tensor, and which a checkpoint has.

NESTED is the tree of `model.init`, FLAT that of the released checkpoints, and in STACKED the
blocks whose place in the repeated pattern of layer kinds is the same are one tensor. Names here
are keys joined by `/`, however a layout nests them.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from jaxformer.checkpoint.messages import shown_name
from jaxformer.checkpoint.schema import OFFICIAL_SKIPPED, Entry, entries, letters
from jaxformer.config import Config

Layout = Literal["nested", "flat", "stacked"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
# Of our own writer: blocks of Gemma 3 repeat after six.
PERIOD = 6

_ROOTS = ("transformer/", "SigLiPFromPatches_0/")
_BLOCK = re.compile(r"(layer_|attention_type_)(0|[1-9]\d{0,3})/")


@dataclass(frozen=True)
class Place:
    """Where an entry is stored: the tensor, and the index in it if blocks are stacked there."""

    name: str
    index: int | None = None


def place(entry: Entry, layout: Layout, period: int = PERIOD) -> Place:
    """Where a layout has a tensor of ours.

    Args:
      period: of the STACKED layout.
    """
    head, _, bracketed = entry.official_row.partition("[")
    leaf = head if layout == "nested" else head + bracketed.rstrip("]")
    root = "" if layout == "nested" else "transformer/"
    if entry.block is None:
        return Place(root + leaf)
    if layout == "stacked":
        kind = f"{root}stacked_layers/attention_type_{entry.block % period}"
        return Place(f"{kind}/{leaf}", entry.block // period)
    return Place(f"{root}layer_{entry.block}/{leaf}")


def tree_path(name: str, layout: Layout) -> tuple[str, ...]:
    """The keys under which a layout nests a tensor: FLAT and STACKED part the last word only."""
    return tuple(name.split("/") if layout == "nested" else name.rsplit("/", 1))


def layout_of(names: Iterable[str]) -> Layout:
    """As the official package tells them apart."""
    names = list(names)
    if any(name.startswith("transformer/stacked_layers") for name in names):
        return "stacked"
    return "flat" if any(name.startswith(_ROOTS) for name in names) else "nested"


def is_text(name: str, layout: Layout) -> bool:
    """It is the name of a tensor of the text model, at some block."""
    return _BLOCK.sub(r"\g<1>0/", name, count=1) in _names_at_first_block(layout)


def is_skipped(name: str) -> bool:
    """It belongs to another part of a multimodal model."""
    return name.removeprefix("transformer/").startswith(OFFICIAL_SKIPPED)


def arrangement(shapes: Mapping[str, tuple[int, ...]], layout: Layout) -> tuple[int, int]:
    """Period (1 unless STACKED) and depth, by the text tensors' names and shapes."""
    lengths: dict[int, int] = {}
    for name, shape in shapes.items():
        if found := _BLOCK.search(name):
            length = (shape[0] if shape else 0) if layout == "stacked" else 1
            lengths[int(found[2])] = max(length, lengths.get(int(found[2]), 0))
    last = max(lengths, default=-1) + 1
    return (last, sum(lengths.values())) if layout == "stacked" else (1, last)


def sizes_found(
    shapes: Mapping[str, tuple[int, ...]], layout: Layout, period: int, depth: int
) -> dict[str, int]:
    """The size of each letter that most tensors agree on; letters no tensor tells are left out."""
    votes: dict[str, Counter[int]] = {}
    for entry in entries(depth):
        at = place(entry, layout, period)
        shape = shapes.get(at.name)
        if shape is not None:
            bound = entry.bind(shape if at.index is None else shape[1:]) or {}
            for letter, size in bound.items():
                votes.setdefault(letter, Counter())[size] += 1
    return {letter: counts.most_common(1)[0][0] for letter, counts in votes.items()}


def check_tensors(
    shapes: Mapping[str, tuple[int, ...]], layout: Layout, period: int, config: Config
) -> list[str]:
    """What of the text tensors is too many, missing or of a wrong shape."""
    sizes = letters(config)
    expected: dict[str, tuple[int, ...]] = {}
    for entry in entries(config.num_blocks):
        at = place(entry, layout, period)
        # Blocks come in order, so the last to be stacked tells how many there are.
        stacked = () if at.index is None else (at.index + 1,)
        expected[at.name] = (*stacked, *entry.shape(sizes))
    return [
        *(f"{shown_name(name)} is unknown" for name in shapes if name not in expected),
        *(f"{name} is missing" for name in expected if name not in shapes),
        *(
            f"{name} must be {list(expected[name])}, it is {list(shape)}"
            for name, shape in shapes.items()
            if shape != expected.get(name, shape)
        ),
    ]


@functools.cache
def _names_at_first_block(layout: Layout) -> set[str]:
    return {place(entry, layout).name for entry in entries(1)}
