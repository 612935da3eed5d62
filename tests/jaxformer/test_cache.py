"""Cached decoding computes what the whole forward pass computes.

In float64, where rounding is 1e-15 and a wrong mask, slot or position is not: what is compared is
the mathematics. Bits, per tap, are `parity.compare --cached`'s business.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxformer.cache import Cache, cached_forward, empty_cache
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.model import forward
from jaxformer.params import Params

pytestmark = pytest.mark.quick

LENGTH = 30  # nearly four windows of 8
ROUNDING = 1e-12


@pytest.fixture(scope="module", autouse=True)
def _wide():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def params(_wide: None) -> Params:
    narrow = synthetic_params(SHORT, 0, "float32")
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), narrow)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return synthetic_tokens(SHORT, 2, LENGTH, 0)


@pytest.fixture(scope="module")
def whole(params: Params, tokens: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(forward, static_argnums=2)(params, tokens, SHORT))


step = jax.jit(cached_forward, static_argnums=3, donate_argnums=2)


def run(params: Params, tokens: np.ndarray, lengths: list[int], capacity: int) -> np.ndarray:
    """Logits of all tokens, given to the model in pieces of these lengths."""
    cache = empty_cache(SHORT, tokens.shape[0], capacity, jnp.float64)
    logits, start = [], 0
    for length in lengths:
        piece = jnp.asarray(tokens[:, start : start + length])
        out, cache = step(params, piece, cache, SHORT)
        logits.append(np.asarray(out))
        start += length
    return np.concatenate(logits, axis=1)


def assert_equal_but_for_rounding(got: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(got - expected).max() <= ROUNDING * np.abs(expected).max()


@pytest.mark.parametrize(
    "lengths",
    [
        [1] * LENGTH,
        [LENGTH],  # longer than the window
        [7, 9, 8, 1, 2, 1, 2],  # across the ring's end, past it, of its very length
        [9, 9, *[1] * 12],
    ],
    ids=str,
)
def test_pieces_give_what_the_whole_gives(
    params: Params, tokens: np.ndarray, whole: np.ndarray, lengths: list[int]
) -> None:
    assert_equal_but_for_rounding(run(params, tokens, lengths, LENGTH), whole)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 7, 8, 9]), min_size=LENGTH, max_size=LENGTH))
def test_any_cut_gives_what_the_whole_gives(
    params: Params, tokens: np.ndarray, whole: np.ndarray, draws: list[int]
) -> None:
    lengths: list[int] = []
    for draw in draws:
        lengths.append(min(draw, LENGTH - sum(lengths)))
    assert_equal_but_for_rounding(run(params, tokens, [n for n in lengths if n], LENGTH), whole)


def test_spare_capacity_changes_nothing(
    params: Params, tokens: np.ndarray, whole: np.ndarray
) -> None:
    assert_equal_but_for_rounding(run(params, tokens, [15, 15], 50), whole)


def test_a_capacity_below_the_window_is_enough_for_few_tokens(
    params: Params, tokens: np.ndarray, whole: np.ndarray
) -> None:
    assert_equal_but_for_rounding(run(params, tokens[:, :5], [2, 3], 5), whole[:, :5])


def test_left_padding_is_not_seen(params: Params, tokens: np.ndarray, whole: np.ndarray) -> None:
    """One row padded past the first piece and beyond the window, the other not at all."""
    pad = 11
    shifted = np.stack([tokens[0], np.r_[[0] * pad, tokens[1, : LENGTH - pad]]])
    got = run(params, shifted, [9, 9, 2, *[1] * 10], LENGTH)
    assert_equal_but_for_rounding(got[0], whole[0])
    assert_equal_but_for_rounding(got[1, pad:], whole[1, : LENGTH - pad])


def test_a_row_that_has_ended_remembers_no_more(params: Params, tokens: np.ndarray) -> None:
    cache = empty_cache(SHORT, 2, LENGTH, jnp.float64)
    _, cache = step(params, jnp.asarray(tokens[:, :4]), cache, SHORT)
    valid = jnp.asarray([[True], [False]])
    _, cache = step(params, jnp.asarray(tokens[:, 4:5]), cache, SHORT, valid=valid)
    np.testing.assert_array_equal(cache.counts, [5, 4])
    np.testing.assert_array_equal(
        cache.positions["global"][:, :6], [[0, 1, 2, 3, 4, -1]] * 1 + [[0, 1, 2, 3, -1, -1]]
    )


def test_token_zero_is_a_token_where_the_caller_says_so(params: Params) -> None:
    zeros = jnp.zeros((1, 1), jnp.int32)
    after = [
        step(params, zeros, empty_cache(SHORT, 1, 4, jnp.float64), SHORT, valid=valid)[1].counts
        for valid in (None, jnp.ones((1, 1), bool))
    ]
    assert [int(count[0]) for count in after] == [0, 1]


def test_local_layers_hold_no_more_than_the_window() -> None:
    cache: Cache = empty_cache(SHORT, 3, 100, "bfloat16")
    slots = [layer.key.shape[1] for layer in cache.layers]
    assert slots == [SHORT.window if kind == "local" else 100 for kind in SHORT.layer_kinds]


@pytest.mark.parametrize(("batch", "capacity"), [(0, 4), (1, 0), (1, -3)])
def test_an_empty_cache_is_refused(batch: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        empty_cache(SHORT, batch, capacity, "bfloat16")
