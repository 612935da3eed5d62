"""Masks from positions, grouping without repetition, and what attention may not see."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL

from jaxformer.attention import attention, attention_mask, positions_of, scores, weighted_values
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.fast.blockwise import BLOCK
from jaxformer.taps import no_tap

pytestmark = pytest.mark.quick


def mask_of(tokens: list[int], window: int | None) -> list[str]:
    """The mask of one row, a string per query."""
    valid = jnp.asarray([tokens]) != 0
    positions = positions_of(valid)
    mask = attention_mask(positions, positions, valid, window)[0]
    return ["".join(".#"[int(seen)] for seen in row) for row in mask]


def test_causal_mask_sees_itself_and_the_past() -> None:
    assert mask_of([5, 5, 5, 5], None) == ["#...", "##..", "###.", "####"]


def test_window_counts_the_query_itself() -> None:
    assert mask_of([5, 5, 5, 5], 2) == ["#...", "##..", ".##.", "..##"]


def test_padding_is_never_seen_and_takes_no_position() -> None:
    # The third token's window of 2 reaches over the padding to the first.
    assert mask_of([5, 0, 5, 5], 2) == ["#...", "#...", "#.#.", "..##"]
    assert positions_of(jnp.asarray([[True, False, True, True]])).tolist() == [[0, 0, 1, 2]]


def test_leading_padding_sees_nothing() -> None:
    assert mask_of([0, 0, 5, 5], None) == ["....", "....", "..#.", "..##"]


def test_mask_follows_positions_not_rows() -> None:
    """A ring cache holds keys in any order: shuffling keys shuffles the mask's columns, no more."""
    order = np.asarray([2, 0, 3, 1])
    query, key, valid = jnp.asarray([[3]]), jnp.asarray([[0, 1, 2, 3]]), jnp.ones((1, 4), bool)
    straight = attention_mask(query, key, valid, 3)
    shuffled = attention_mask(query, key[:, order], valid, 3)
    np.testing.assert_array_equal(shuffled, straight[:, :, order])
    assert straight.tolist() == [[[False, True, True, True]]]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_queries_equal_repeated_keys(groups: int) -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((2, 5, 4, 8))
    key = rng.standard_normal((2, 6, groups, 8))
    repeated = np.repeat(key, 4 // groups, axis=2)
    expected = np.einsum("btnh,bsnh->btns", query, repeated)
    as_float32 = [jnp.asarray(x, jnp.float32) for x in (query, key)]
    np.testing.assert_allclose(scores(*as_float32), expected, atol=1e-5)
    values = weighted_values(jnp.asarray(expected, jnp.float32), as_float32[1])
    np.testing.assert_allclose(values, np.einsum("btns,bsnh->btnh", expected, repeated), atol=1e-4)


def test_keys_and_values_are_not_repeated() -> None:
    """No intermediate has N heads of keys or values: grouped queries must not cost their memory."""
    query, key = jnp.zeros((1, 7, 4, 32)), jnp.zeros((1, 9, 2, 32))
    shapes = [
        variable.aval.shape
        for equation in jax.make_jaxpr(scores)(query, key).eqns
        for variable in equation.outvars
    ]
    assert (1, 9, 4, 32) not in shapes


def run_attention(x: jax.Array, **changes: object) -> jax.Array:
    config = dataclasses.replace(SMALL, **changes)
    params = synthetic_params(SMALL, 0, "float32", blocks=1).blocks[0].attn
    valid = jnp.ones(x.shape[:2], bool)
    return attention(params, x, positions_of(valid), valid, config, "local", no_tap)[0]


def test_attention_ignores_what_lies_outside_the_window() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 12, 64)), jnp.float32)
    changed = x.at[:, 0].add(1.0)
    before, after = run_attention(x), run_attention(changed)
    # W = 8: query 7 still sees key 0, query 8 doesn't.
    assert bool((before[:, 7] != after[:, 7]).any())
    np.testing.assert_array_equal(before[:, 8:], after[:, 8:])


def test_attention_ignores_the_future() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 12, 64)), jnp.float32)
    np.testing.assert_array_equal(
        run_attention(x)[:, :6], run_attention(x.at[:, 6:].set(9.0))[:, :6]
    )


def test_query_scale_changes_attention() -> None:
    """The bug that one-token tests can't see: at T = 1 nothing changes, at T = 12 much does."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 12, 64)), jnp.float32)
    scaled = {"query_pre_attn_scalar": 32 * 32}
    np.testing.assert_array_equal(run_attention(x[:, :1]), run_attention(x[:, :1], **scaled))
    assert bool((run_attention(x) != run_attention(x, **scaled)).any())


@pytest.mark.parametrize(
    ("formulation", "length"), [("exact", 12), ("fast", 12), ("fast", 2 * BLOCK + 12)]
)
def test_a_query_that_sees_no_key_gets_the_mean_of_all_values_at_hand(
    formulation: str, length: int
) -> None:
    config = SMALL.with_numerics(formulation=formulation)
    params = synthetic_params(SMALL, 0, "float32", blocks=1).blocks[0].attn
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, length, 64)), jnp.float32)
    valid = jnp.arange(length)[None] >= 3
    seen: dict[str, np.ndarray] = {}

    def tap(name: str, value: jax.Array) -> jax.Array:
        seen[name] = np.asarray(value)
        return value

    attention(params, x, positions_of(valid), valid, config, "local", tap)
    assert ("probs" in seen) == (length < BLOCK)
    mean = seen["value"].mean(axis=1)[0, [0, 0, 1, 1]]  # two queries share a key head
    for query in range(3):
        np.testing.assert_allclose(seen["encoded"][0, query], mean, atol=1e-6)
    assert np.abs(seen["encoded"][0, 3] - mean).max() > 0.1
