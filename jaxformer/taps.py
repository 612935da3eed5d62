"""Taps: named points of a computation that an observer may look at, and the table of them.

    x = tap("blocks.3.attn.query", x)

A tap returns its value unchanged. It is an explicit argument of every function that has one and
is static under `jit`, so that a compiled program can't be wrong about who watches it.

The table says which points Gemma 3 has, whoever computes it: every implementation that is held
beside another names its values so. It is also read where JAX is not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class TapPoint:
    """One point of the model.

    Attributes:
      name: within its block, such as `attn.query`, or of the whole model, such as `embed`.
      letters: of its shape, an axis each, as in `Config`; S is the length of the keys, which in a
        run without a cache is T.
      meaning: of the values there, in a phrase.
    """

    name: str
    letters: str
    meaning: str

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Given the size of each letter.

        Raises:
          KeyError: a letter has no size.
        """
        return tuple(sizes[letter] for letter in self.letters)


# In execution order.
BLOCK_TAPS: tuple[TapPoint, ...] = (
    TapPoint("input", "BTD", "residual stream entering the block"),
    TapPoint("pre_attention_norm", "BTD", "what attention is given: the block's input, normed"),
    TapPoint("attn.query", "BTNH", "projected queries"),
    TapPoint("attn.key", "BSKH", "projected keys"),
    TapPoint("attn.value", "BSKH", "projected values"),
    TapPoint("attn.query_norm", "BTNH", "queries after QK-norm"),
    TapPoint("attn.key_norm", "BSKH", "keys after QK-norm"),
    TapPoint("attn.query_rope", "BTNH", "queries after RoPE, before scaling"),
    TapPoint("attn.key_rope", "BSKH", "keys after RoPE"),
    TapPoint("attn.probs", "BTNS", "probabilities after softmax"),
    TapPoint("attn.encoded", "BTNH", "probabilities times values"),
    TapPoint("attn.output", "BTD", "after the output projection"),
    TapPoint("post_attention_norm", "BTD", "attention's output, normed: added to the residual"),
    TapPoint("attn_residual", "BTD", "residual stream between attention and MLP"),
    TapPoint("pre_ffw_norm", "BTD", "what the MLP is given: the residual stream, normed"),
    TapPoint("mlp.gate", "BTF", "half of the gating projection, which goes through GELU"),
    TapPoint("mlp.up", "BTF", "the other half, which multiplies it"),
    TapPoint("mlp.output", "BTD", "after the MLP's output projection"),
    TapPoint("post_ffw_norm", "BTD", "the MLP's output, normed: added to the residual"),
    TapPoint("output", "BTD", "residual stream leaving the block, the next one's input"),
)

# Before and, where every block is run, after the blocks.
EMBED = TapPoint("embed", "BTD", "scaled token embeddings")
HEAD_TAPS: tuple[TapPoint, ...] = (
    TapPoint("final_norm", "BTD", "residual stream after the last block, normed"),
    TapPoint("logits", "BTV", "scores of every token of the vocabulary"),
)
MODEL_TAPS: tuple[TapPoint, ...] = (EMBED, *HEAD_TAPS)


def model_taps(blocks: int, *, whole: bool = True) -> Iterator[TapPoint]:
    """Every point of a run of the first `blocks` blocks, in execution order, by its full name.

    Args:
      whole: those are all blocks, so final norm and logits follow.
    """
    yield EMBED
    for i in range(blocks):
        for point in BLOCK_TAPS:
            yield replace(point, name=f"blocks.{i}.{point.name}")
    if whole:
        yield from HEAD_TAPS


class Tap(Protocol):
    """Called while the function is traced, once for each named point."""

    def __call__(self, name: str, value: jax.Array) -> jax.Array: ...


def no_tap(name: str, value: jax.Array) -> jax.Array:
    """The tap of a run that nobody watches: adds nothing to the program."""
    del name
    return value


def prefixed(tap: Tap, prefix: str) -> Tap:
    """A tap that prepends `prefix` and a dot to each name."""
    if tap is no_tap:
        return no_tap
    return lambda name, value: tap(f"{prefix}.{name}", value)
