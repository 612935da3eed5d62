"""Prefill by block or by chunk: what the whole model at once would say, and the same cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT, talkative

from jaxformer.cache import cached_forward, empty_cache
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import Config
from jaxformer.fast.layout import laid_out
from jaxformer.fast.prefill import prefill
from jaxformer.params import Params

CAPACITY = 48


def model(dtype: str, formulation: str) -> tuple[Params, Config]:
    params = talkative(synthetic_params(SHORT, 0, dtype))
    config = SHORT.with_numerics(formulation=formulation)
    return (laid_out(params) if formulation == "fast" else params), config


@pytest.mark.parametrize("formulation", ["exact", "fast"])
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.matrix), "bfloat16"])
def test_a_prompt_in_chunks_is_the_prompt_in_one(
    dtype: str, formulation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, config = model(dtype, formulation)
    tokens = synthetic_tokens(config, 2, 40, 0)
    tokens[1, :5] = 0  # a shorter row
    whole = jax.jit(cached_forward, static_argnames="config")
    empty = empty_cache(config, 2, CAPACITY, dtype)
    every, cache = whole(params, jnp.asarray(tokens), empty, config)
    expected = every[:, -1:]
    for chunk, by_block in ((8, "cpu"), (64, "cpu"), (8, "")):
        monkeypatch.setattr("jaxformer.fast.prefill._BY_BLOCK", (by_block,))
        logits, filled = prefill(params, tokens, config, CAPACITY, chunk)
        assert logits.shape == expected.shape
        # Rounded, or summed, in other places: a few units in the last place.
        close = {"rtol": 0, "atol": float(8 * jnp.finfo(dtype).eps * jnp.abs(expected).max())}
        np.testing.assert_allclose(
            *(np.asarray(x, np.float32) for x in (logits, expected)), **close
        )
        assert int(filled.time) == int(cache.time) == 40
        np.testing.assert_array_equal(filled.counts, cache.counts)
        for kind, positions in cache.positions.items():
            np.testing.assert_array_equal(filled.positions[kind], positions)


def test_both_formulations_leave_the_same_cache_padding_included() -> None:
    """In float64, where only rounding differs; a chunk of several blocks, then a short one."""
    tokens = synthetic_tokens(SHORT, 2, 300, 0)
    tokens[1, :45] = 0  # a shorter row, whose padding sees no key
    with jax.enable_x64(True):
        caches = []
        for formulation in ("exact", "fast"):
            params, config = model("float32", formulation)
            wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
            caches.append(prefill(wide, tokens, config, 320, 280)[1])
        exact, fast = (jax.tree.leaves(cache.layers) for cache in caches)
        for one, other in zip(exact, fast, strict=True):
            assert float(jnp.abs(one - other).max()) <= 1e-12 * float(jnp.abs(one).max())
