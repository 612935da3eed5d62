"""Does a difference matter: are other tokens chosen, and how far is it from that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Positions widened to float64 at a time: 32 of a vocabulary of 262,144 take 67 MB a side.
_ROWS = 32
TOP_K = 10


@dataclass(frozen=True)
class Impact:
    """What other logits do to greedy decoding and to the distribution.

    Attributes:
      positions: how many distributions were compared.
      top1_agreement: share of positions whose most likely token is the same; ties go to the
        smaller id, as in greedy decoding.
      top_k_overlap: mean share of the reference's TOP_K tokens that are in ours too.
      kl_mean, kl_max: Kullback-Leibler divergence of ours from the reference, in nats.
      margin_min: the reference's smallest distance from its first to its second logit.
      max_logit_error: the largest difference of a logit.
      first_flip: (row, position) of the first other greedy token, None if there is none.
    """

    positions: int
    top1_agreement: float
    top_k_overlap: float
    kl_mean: float
    kl_max: float
    margin_min: float
    max_logit_error: float
    first_flip: tuple[int, ...] | None

    @property
    def verdict(self) -> str:
        """One line: whether a token flips, else whether one could have."""
        error = f"largest logit error {self.max_logit_error:.3g}"
        margin = f"smallest margin {self.margin_min:.3g}"
        if self.first_flip is not None:
            flips = round((1 - self.top1_agreement) * self.positions)
            return (
                f"matters: greedy decoding picks another token at {flips} of {self.positions} "
                f"positions, first at {list(self.first_flip)}"
            )
        # Two logits may each move by the error, towards each other.
        if self.margin_min > 2 * self.max_logit_error:
            return f"harmless here: no greedy token can flip ({error}, {margin})"
        return f"no greedy token flips here, but one could ({error}, {margin})"


def logits_impact(ours: np.ndarray, reference: np.ndarray) -> Impact:
    """Compare two arrays of logits.

    Args:
      reference, ours: [… V] of one shape, any float dtype, V >= 2.

    Raises:
      ValueError: shapes differ, or there are fewer than two logits.
    """
    if reference.shape != ours.shape or reference.ndim < 1 or reference.shape[-1] < 2:
        raise ValueError(
            f"logits must be of one shape [..., V] with V >= 2, "
            f"got {reference.shape} and {ours.shape}"
        )
    vocabulary = reference.shape[-1]
    flat = [logits.reshape(-1, vocabulary) for logits in (reference, ours)]
    same: list[np.ndarray] = []
    overlap: list[np.ndarray] = []
    divergence: list[np.ndarray] = []
    margin, error = math.inf, 0.0
    for start in range(0, len(flat[0]), _ROWS):
        a, b = (logits[start : start + _ROWS].astype(np.float64) for logits in flat)
        same.append(a.argmax(-1) == b.argmax(-1))
        overlap.append(_overlap(a, b, min(TOP_K, vocabulary)))
        divergence.append(_divergence(a, b))
        second, first = np.sort(np.partition(a, -2, axis=-1)[:, -2:], axis=-1).T
        margin = min(margin, float((first - second).min()))
        error = max(error, float(np.abs(a - b).max()))
    agree, kl = np.concatenate(same), np.concatenate(divergence)
    flipped = np.flatnonzero(~agree)
    index = np.unravel_index(flipped[0], reference.shape[:-1]) if flipped.size else None
    return Impact(
        positions=len(agree),
        top1_agreement=float(agree.mean()),
        top_k_overlap=float(np.concatenate(overlap).mean()),
        kl_mean=float(kl.mean()),
        kl_max=float(kl.max()),
        margin_min=margin,
        max_logit_error=error,
        first_flip=None if index is None else tuple(int(i) for i in index),
    )


def _overlap(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    top_a, top_b = (np.argpartition(x, -k, axis=-1)[:, -k:] for x in (a, b))
    return np.array([len(np.intersect1d(x, y)) / k for x, y in zip(top_a, top_b, strict=True)])


def _divergence(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    log_a, log_b = (_log_softmax(x) for x in (a, b))
    # A sum of rounded terms may fall a little below 0, the least it can be.
    return np.maximum((np.exp(log_a) * (log_a - log_b)).sum(-1), 0.0)


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result
