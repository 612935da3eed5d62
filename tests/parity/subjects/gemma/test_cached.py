"""Cached decoding as a candidate: every tap in its place, and a broken cache caught."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL, quiet

import jaxformer.cache
from jaxformer.cache import Cache
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from parity.subjects.gemma.cached import cached_side
from parity.subjects.gemma.ours import jaxformer_side
from parity.trace.frames import MemorySink
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column
from parity.verdict.evidence import Evidence
from parity.verdict.plan import Candidate
from parity.verdict.run import compare_candidate, recorded

CONFIG = dataclasses.replace(SMALL, layer_kinds=("local", "global"))
LENGTH = 12  # one and a half windows


def examined(tokens: np.ndarray, dtype: str) -> Column:
    params = synthetic_params(CONFIG, 0, dtype)
    given = (params, jnp.asarray(tokens), CONFIG, Manifest(""))
    whole = jaxformer_side(*given, blocks=2)
    with recorded(whole, quiet) as trace:
        candidate = Candidate("cached", {}, lambda: cached_side(*given, blocks=2))
        column, source = compare_candidate(trace, {}, candidate, quiet)
        with Evidence(
            whole, trace, lambda: whole, scopes=("taps",), dtype="float64", progress=quiet
        ) as evidence:
            return evidence.examine(column, source)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return synthetic_tokens(CONFIG, 2, LENGTH, 0)


@pytest.mark.matrix
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_unbroken_cache_differs_by_rounding_alone(tokens: np.ndarray, dtype: str) -> None:
    column = examined(tokens, dtype)
    assert column.compared == len(column.taps) == 43
    assert column.diverged_at is None, column.diverged_at
    probs = column.tap("blocks.0.attn.probs")
    assert probs is not None
    assert probs.metrics is not None
    assert probs.metrics.size == 2 * LENGTH * 4 * LENGTH


def test_probabilities_stand_at_the_tokens_they_belong_to(tokens: np.ndarray) -> None:
    """A ring's slots come in another order; outside the window there is nothing."""
    source = cached_side(
        synthetic_params(CONFIG, 0, "float32"), jnp.asarray(tokens), CONFIG, Manifest(""), blocks=2
    )
    memory = MemorySink()
    source.run(memory)
    trace = memory.trace(source.manifest)
    for name, window in (("blocks.0.attn.probs", CONFIG.window), ("blocks.1.attn.probs", LENGTH)):
        probs = trace[name][0]  # [T N S]
        behind = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
        visible = (behind >= 0) & (behind < window)
        assert (probs.min(axis=1)[visible] > 0).all()
        assert (probs.max(axis=1)[~visible] == 0).all()


def late(genuine: Callable[..., Any]) -> Callable[..., Any]:
    """Writes into the next slot of a ring: the key of an older token goes first."""
    return lambda kind, time, length, slots: genuine(kind, time + (kind == "local"), length, slots)


def standing(genuine: Callable[..., Any]) -> Callable[..., Any]:
    """Never counts: every token is at position 0."""

    def advanced(cache: Cache, *rest: Any) -> Cache:
        return dataclasses.replace(genuine(cache, *rest), counts=cache.counts)

    return advanced


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("name", "fault", "tap"),
    [
        ("_writer", late, "blocks.0.attn.probs"),
        ("advanced", standing, "blocks.0.attn.query_rope"),
    ],
)
def test_a_broken_cache_is_caught_where_it_breaks(
    monkeypatch: pytest.MonkeyPatch, tokens: np.ndarray, name: str, fault: Any, tap: str
) -> None:
    broken = fault(getattr(jaxformer.cache, name))
    monkeypatch.setattr(jaxformer.cache, name, broken)
    monkeypatch.setattr("parity.subjects.gemma.cached.advanced", jaxformer.cache.advanced)
    column = examined(tokens, "float32")
    assert column.diverged_at is not None
    assert column.diverged_at.tap == tap
