"""Choosing the next token from logits."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxformer.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; frozen, hence static under jit.

    Attributes:
      temperature: 0 takes the most likely token (greedy); otherwise logits are divided by it.
      top_k: only the k most likely tokens; None for all. Ties with the k-th stay in.
      top_p: only the most likely tokens whose probabilities first sum to p (nucleus sampling,
        Holtzman et al. 2020); None for all.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        # NaN fails these comparisons too.
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be a number >= 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must lie in (0, 1], got {self.top_p}")


def sample(logits: Float[Array, "B V"], keys: Array, sampling: Sampling) -> Int[Array, " B"]:
    """The next token of each row, by the Gumbel-max trick where it is random.

    Args:
      logits: of any float dtype; arithmetic is in float32.
      keys: [B] JAX random keys, one per row, so that a row doesn't depend on its neighbours.
    """
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    drawn = jax.vmap(jax.random.categorical)(keys, restricted(logits, sampling))
    return drawn.astype(jnp.int32)


def restricted(logits: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B V"]:
    """Float32 logits over the temperature, minus infinity for tokens that can't be drawn.

    As in transformers, top-p is taken of what top-k leaves.
    """
    wide = logits.astype(jnp.float32) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < wide.shape[-1]:
        lowest = jax.lax.top_k(wide, sampling.top_k)[0][..., -1:]
        wide = jnp.where(wide < lowest, -jnp.inf, wide)
    if sampling.top_p is not None and sampling.top_p < 1:
        descending = jnp.sort(wide, axis=-1, descending=True)
        probs = jax.nn.softmax(descending, axis=-1)
        # A token stays while those before it sum to less than p; the first always does.
        before = jnp.cumsum(probs, axis=-1) - probs
        kept = (before < sampling.top_p).sum(axis=-1, keepdims=True)
        wide = jnp.where(wide < jnp.take_along_axis(descending, kept - 1, axis=-1), -jnp.inf, wide)
    return wide
