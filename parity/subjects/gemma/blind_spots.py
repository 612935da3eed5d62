"""What a Gemma 3 run can't see, because its input or its depth doesn't exercise it."""

from __future__ import annotations

import numpy as np

from jaxformer.config import Config

# Interpolated positions differ by so little before this that bfloat16 hides a wrong factor.
_ROPE_FACTOR_POSITIONS = 2048


def blind_spots(config: Config, blocks: int, tokens: list[list[int]]) -> list[str]:
    """Faults that would go unnoticed, a line each; empty if this input sees them all.

    Args:
      blocks: how many are run.
      tokens: [B][T]; 0 is padding and takes no position.
    """
    ids = np.asarray(tokens)
    longest = int((ids != 0).sum(axis=1).max(initial=0))
    kinds = config.layer_kinds[:blocks]
    found = []
    if longest <= 1:
        found.append(
            "attention: one token per row, and the softmax of one score is 1 whatever the query"
        )
    elif len(np.unique(ids[ids != 0])) == 1:
        found.append("attention: all tokens are equal, so all values are")
    if "local" in kinds and longest <= config.window:
        found.append(f"sliding window: no row is longer than its {config.window} positions")
    if "global" in config.layer_kinds and "global" not in kinds:
        first = config.layer_kinds.index("global")
        found.append(f"global attention: no global block is run, the first is block {first}")
    elif config.global_rope.factor != 1 and longest < _ROPE_FACTOR_POSITIONS:
        found.append(
            f"RoPE factor: positions below {_ROPE_FACTOR_POSITIONS} hardly tell factors apart"
        )
    if blocks < config.num_blocks:
        found.append(f"final norm and logits: {config.num_blocks - blocks} blocks are not run")
    return found
