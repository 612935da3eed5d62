"""What every tensor of the model is called in each format, and how its axes are laid out there.

One table, a row per tensor, drives reading and writing of both formats. The official package's
layouts are ours. No RoPE permutation anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from jaxformer.config import Config

# Columns: our name in `jaxformer.params`; the official package's, of which `[…]` is left out in
# the NESTED layout; Hugging Face's, of which several are stacked along a new first axis to make
# ours; and the axes of one Hugging Face tensor and of ours, by DESIGN's letters. `(N H)` is one
# axis, the product of two.
_FIRST = ("embedding", "embedder/input_embedding", "embed_tokens", "V D -> V D")
_BLOCK = (
    ("pre_attention_norm", "pre_attention_norm/scale", "input_layernorm", "D -> D"),
    ("attn.query", "attn/q_einsum/w", "self_attn.q_proj", "(N H) D -> N D H"),
    ("attn.key_value", "attn/kv_einsum/w", "self_attn.k_proj self_attn.v_proj", "(K H) D -> K D H"),
    ("attn.query_norm", "attn/_query_norm/scale", "self_attn.q_norm", "H -> H"),
    ("attn.key_norm", "attn/_key_norm/scale", "self_attn.k_norm", "H -> H"),
    ("attn.output", "attn/attn_vec_einsum/w", "self_attn.o_proj", "D (N H) -> N H D"),
    ("post_attention_norm", "post_attention_norm/scale", "post_attention_layernorm", "D -> D"),
    ("pre_ffw_norm", "pre_ffw_norm/scale", "pre_feedforward_layernorm", "D -> D"),
    ("mlp.gating", "mlp/gating_einsum[/w]", "mlp.gate_proj mlp.up_proj", "F D -> F D"),
    ("mlp.output", "mlp/linear[/w]", "mlp.down_proj", "D F -> F D"),
    ("post_ffw_norm", "post_ffw_norm/scale", "post_feedforward_layernorm", "D -> D"),
)
_LAST = ("final_norm", "final_norm/scale", "norm", "D -> D")

# The multimodal parts of a checkpoint, which a text model leaves alone: beginnings of names.
HF_PREFIXES = ("model.", "language_model.model.", "model.language_model.")
HF_SKIPPED = tuple(
    f"{prefix}{part}."
    for prefix in ("", "model.")
    for part in ("vision_tower", "multi_modal_projector")
)
HF_TIED = ("lm_head.weight", "language_model.lm_head.weight")
OFFICIAL_SKIPPED = (
    "vision_encoder/",
    "SigLiPFromPatches_0/",
    "audio_encoder/",
    "embedder/mm_",
    "embedder/audio_",
)


@dataclass(frozen=True)
class Rule:
    """The axes of one Hugging Face tensor and of its part of ours.

    Attributes:
      groups: the tensor's axes, each a product of letters: (("N", "H"), ("D",)).
      ours: the letters in our order: ("N", "D", "H").
    """

    groups: tuple[tuple[str, ...], ...]
    ours: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Rule:
        left, right = text.split(" -> ")
        groups = re.findall(r"\([^)]*\)|\w+", left)
        return cls(
            tuple(tuple(group.strip("()").split()) for group in groups), tuple(right.split())
        )

    def hf_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(math.prod(sizes[letter] for letter in group) for group in self.groups)

    def split_view(self, ours: np.ndarray) -> np.ndarray:
        """Our array, uncopied, its axes in the order of the letters of `groups`."""
        order = [self.ours.index(letter) for group in self.groups for letter in group]
        return ours.transpose(order)


@dataclass(frozen=True)
class Entry:
    """One tensor of ours: a row of the table, at one block or outside them.

    Attributes:
      ours: such as `blocks.3.attn.query`.
      hf: without prefix; more than one are stacked to make ours.
      block: None outside the blocks.
      official_row: the name within the block, its `[…]` still marked.
      rule: between one Hugging Face tensor and (its part of) ours.
    """

    ours: str
    hf: tuple[str, ...]
    block: int | None
    official_row: str
    rule: Rule

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Of our tensor, given the size of each letter."""
        return (*self._stack(), *(sizes[letter] for letter in self.rule.ours))

    def bind(self, shape: tuple[int, ...]) -> dict[str, int] | None:
        """The sizes of the letters that our tensor's shape tells; None if it can't be its shape."""
        stack = self._stack()
        if len(shape) != len(stack) + len(self.rule.ours) or shape[: len(stack)] != stack:
            return None
        return dict(zip(self.rule.ours, shape[len(stack) :], strict=True))

    def part(self, ours: np.ndarray, index: int) -> np.ndarray:
        """What Hugging Face tensor `index` holds of our array, uncopied."""
        return ours[index] if self._stack() else ours

    def _stack(self) -> tuple[int, ...]:
        return (len(self.hf),) if len(self.hf) > 1 else ()


def entries(depth: int) -> Iterator[Entry]:
    """Every tensor of a model of so many blocks, in the order of the parameter tree."""
    yield _entry(_FIRST)
    for block in range(depth):
        for row in _BLOCK:
            yield _entry(row, block)
    yield _entry(_LAST)


def letters(config: Config) -> dict[str, int]:
    """The size of each letter of the rules."""
    return {
        "V": config.vocab_size,
        "D": config.width,
        "F": config.mlp_width,
        "N": config.num_heads,
        "K": config.num_kv_heads,
        "H": config.head_width,
    }


def _entry(row: tuple[str, str, str, str], block: int | None = None) -> Entry:
    ours, official, hf, rule = row
    ours_at, hf_at = ("", "") if block is None else (f"blocks.{block}.", f"layers.{block}.")
    names = tuple(f"{hf_at}{name}.weight" for name in hf.split())
    return Entry(ours_at + ours, names, block, official, Rule.parse(rule))
