"""Draws follow the distribution they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxformer.errors import UsageError
from jaxformer.sampling import Sampling, restricted, sample

pytestmark = pytest.mark.quick

DRAWS = 100_000
# Chance that a correct sampler fails one of these tests. Seeds are fixed, so it either fails
# always or never; over seeds one in a million would.
FALSE_ALARM = 1e-6
LOGITS = np.linspace(-1, 1, 12) + np.sin(np.arange(12.0)) / 2


def probabilities(sampling: Sampling) -> np.ndarray:
    """By the definitions, in float64, one token at a time."""
    probs = np.exp(LOGITS / sampling.temperature)
    order = np.argsort(-probs)
    if sampling.top_k is not None:
        probs[order[sampling.top_k :]] = 0
    probs /= probs.sum()
    if sampling.top_p is not None:
        total = 0.0
        for token in order:
            if total >= sampling.top_p:
                probs[token] = 0
            total += probs[token]
    return probs / probs.sum()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(1.0),
        Sampling(0.5),
        Sampling(2.0),
        Sampling(1.0, top_k=4),
        Sampling(1.0, top_p=0.8),
        Sampling(1.5, top_k=6, top_p=0.7),
        Sampling(1.0, top_k=100, top_p=1.0),
    ],
    ids=str,
)
def test_frequencies_match_the_distribution(sampling: Sampling) -> None:
    expected = probabilities(sampling)
    keys = jax.random.split(jax.random.key(7), DRAWS)
    rows = jnp.broadcast_to(jnp.asarray(LOGITS, jnp.float32), (DRAWS, LOGITS.size))
    counts = np.bincount(np.asarray(sample(rows, keys, sampling)), minlength=LOGITS.size)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    # Chi-square's approximation needs some expected draws in every cell.
    assert (expected[possible] * DRAWS).min() > 20
    fit = stats.chisquare(counts[possible], expected[possible] * DRAWS)
    assert fit.pvalue > FALSE_ALARM


def test_the_statistic_sees_a_wrong_temperature() -> None:
    """10% off is seen, so the test above can fail."""
    keys = jax.random.split(jax.random.key(7), DRAWS)
    rows = jnp.broadcast_to(jnp.asarray(LOGITS, jnp.float32), (DRAWS, LOGITS.size))
    counts = np.bincount(np.asarray(sample(rows, keys, Sampling(1.1))), minlength=LOGITS.size)
    assert stats.chisquare(counts, probabilities(Sampling(1.0)) * DRAWS).pvalue < FALSE_ALARM


def test_greedy_takes_the_largest_and_of_equals_the_first() -> None:
    logits = jnp.asarray([[0.0, 3.0, 3.0], [5.0, 1.0, 2.0]])
    np.testing.assert_array_equal(
        sample(logits, jax.random.split(jax.random.key(0), 2), Sampling()), [1, 0]
    )


def test_one_candidate_leaves_nothing_to_chance() -> None:
    keys = jax.random.split(jax.random.key(0), 50)
    rows = jnp.broadcast_to(jnp.asarray(LOGITS, jnp.float32), (50, LOGITS.size))
    for sampling in (Sampling(9.0, top_k=1), Sampling(9.0, top_p=1e-6)):
        assert set(np.asarray(sample(rows, keys, sampling)).tolist()) == {int(LOGITS.argmax())}


def test_bfloat16_logits_are_widened_before_they_are_divided() -> None:
    logits = jnp.asarray([[1.0, 2.0]], jnp.bfloat16)
    np.testing.assert_array_equal(
        restricted(logits, Sampling(0.3)), np.float32([[1, 2]]) / np.float32(0.3)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
    ids=str,
)
def test_a_sampling_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Sampling(**wrong)
