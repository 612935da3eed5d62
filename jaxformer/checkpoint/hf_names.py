"""The text model's tensors among those of a Hugging Face folder, by name, shape and dtype."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from jaxformer.checkpoint.casting import uniform_dtype
from jaxformer.checkpoint.messages import named, shown_name
from jaxformer.checkpoint.schema import (
    HF_PREFIXES,
    HF_SKIPPED,
    HF_TIED,
    entries,
    letters,
)
from jaxformer.checkpoint.shards import Shards, Stored
from jaxformer.config import Config

# As safetensors spells it -> as NumPy does.
_DTYPES = {"BF16": "bfloat16", "F32": "float32", "F16": "float16"}


@dataclass(frozen=True)
class TextTensors:
    """What was found.

    Attributes:
      tensors: the text model's, by full name.
      prefix: of their names.
      tied: name of a stored copy of the embedding, if there is one.
      dtype: as NumPy spells it.
      skipped: how many tensors belong to other, known parts.
    """

    tensors: Mapping[str, Stored]
    prefix: str
    tied: str | None
    dtype: str
    skipped: int


def text_tensors(
    shards: Shards, config: Config, vocab_rows: int, problems: list[str]
) -> TextTensors:
    """The text model's tensors; what is unknown, missing, doubled, of a wrong shape or dtype is
    added to `problems`."""
    prefix, found, skipped, tied = _sort(shards, config.num_blocks, problems)
    _check_shapes(found, prefix, config, vocab_rows, problems)
    dtypes = {name: _DTYPES.get(stored.dtype, stored.dtype) for name, stored in found.items()}
    dtype = uniform_dtype(dtypes, problems)
    for entry in entries(config.num_blocks):
        for name in entry.hf:
            if prefix + name not in found and prefix + name not in shards.lost:
                problems.append(f"{prefix}{name} is missing")
    return TextTensors(found, prefix, tied, dtype, skipped)


def _sort(
    shards: Shards, depth: int, problems: list[str]
) -> tuple[str, dict[str, Stored], int, str | None]:
    """The prefix, the text model's tensors, how many others are known, and the tied copy."""
    bare = {name for entry in entries(depth) for name in entry.hf}
    by_prefix: dict[str, dict[str, Stored]] = defaultdict(dict)
    tied: dict[str, Stored] = {}
    skipped = 0
    for name, stored in shards.tensors.items():
        prefix = next(
            (p for p in HF_PREFIXES if name.startswith(p) and name[len(p) :] in bare), None
        )
        if prefix is not None:
            by_prefix[prefix][name] = stored
        elif name in HF_TIED:
            tied[name] = stored
        elif name.startswith(HF_SKIPPED):
            skipped += 1
        else:
            problems.append(f"{shown_name(name)} is unknown")
    chosen = max(HF_PREFIXES, key=lambda prefix: len(by_prefix[prefix]))
    for prefix in HF_PREFIXES:
        for name in by_prefix[prefix] if prefix != chosen else ():
            twin = chosen + name[len(prefix) :]
            problems.append(
                f"{name} is {twin} under another prefix"
                if twin in by_prefix[chosen]
                else f"{name} should begin with {chosen}, as others do"
            )
    if len(tied) > 1:
        problems.append(f"{named(tied)} are the same tensor")
    return chosen, by_prefix[chosen] | tied, skipped, next(iter(tied), None)


def _check_shapes(
    found: Mapping[str, Stored],
    prefix: str,
    config: Config,
    vocab_rows: int,
    problems: list[str],
) -> None:
    sizes = letters(config) | {"V": vocab_rows}
    shapes = {
        prefix + name: entry.rule.hf_shape(sizes)
        for entry in entries(config.num_blocks)
        for name in entry.hf
    }
    shapes |= dict.fromkeys(HF_TIED, (vocab_rows, config.width))
    problems += [
        f"{name} must be {list(shapes[name])} by config.json, it is {list(stored.shape)}"
        for name, stored in found.items()
        if stored.shape != shapes[name]
    ]
