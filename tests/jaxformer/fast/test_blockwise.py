"""The fast formulation computes what the exact one does: in float64 only rounding differs."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT

from jaxformer.cache import cached_forward, empty_cache
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import Config
from jaxformer.fast.blockwise import BLOCK, block_size, pays, visible_blocks
from jaxformer.fast.layout import laid_out
from jaxformer.model import forward
from jaxformer.params import Params

FAST = SHORT.with_numerics(formulation="fast")
LENGTH = 2 * BLOCK + 88
PADDING = 45
ROUNDING = 1e-12


@pytest.fixture(scope="module", autouse=True)
def _wide() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def params(_wide: None) -> Params:
    narrow = synthetic_params(SHORT, 0, "float32")
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), narrow)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    """Three rows, the first with padding before it, the last of padding alone."""
    tokens = synthetic_tokens(SHORT, 3, LENGTH, 0)
    tokens[0, :PADDING] = 0
    tokens[2] = 0
    return tokens


@pytest.fixture(scope="module")
def exact(params: Params, tokens: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(forward, static_argnums=2)(params, tokens, SHORT))


def assert_equal_but_for_rounding(got: jax.Array, expected: np.ndarray) -> None:
    """Everywhere: padding that sees no key is no exception."""
    assert np.abs(np.asarray(got) - expected).max() <= ROUNDING * np.abs(expected).max()


def test_the_whole_pass_in_blocks(params: Params, tokens: np.ndarray, exact: np.ndarray) -> None:
    got = jax.jit(forward, static_argnums=2)(laid_out(params), tokens, FAST)
    assert_equal_but_for_rounding(got, exact)


@pytest.mark.parametrize("capacity", [pytest.param(LENGTH, marks=pytest.mark.matrix), 5 * BLOCK])
def test_the_cache_in_blocks(
    params: Params, tokens: np.ndarray, exact: np.ndarray, capacity: int
) -> None:
    """Pieces longer and shorter than a block, then single tokens."""
    lengths = (BLOCK + 40, BLOCK + 40, *[1] * 8)
    got = cached(laid_out(params), tokens, FAST, capacity, lengths)
    assert_equal_but_for_rounding(got, cached(params, tokens, SHORT, capacity, lengths))
    real = tokens > 0  # padding sees the slots of a cache, and those are not all tokens
    assert_equal_but_for_rounding(got[real], exact[real])


@pytest.mark.parametrize("capacity", [24, 5 * BLOCK])
def test_padding_in_single_tokens_gets_what_the_exact_formulation_gives(
    params: Params, tokens: np.ndarray, capacity: int
) -> None:
    """Of one block of slots and of several; past a row's end, longer than the ring has slots."""
    few = tokens[:, PADDING - 8 : PADDING + 16].copy()
    few[1, 4:] = 0
    got = cached(laid_out(params), few, FAST, capacity, (1,) * 24)
    assert_equal_but_for_rounding(got, cached(params, few, SHORT, capacity, (1,) * 24))


def cached(
    params: Params, tokens: np.ndarray, config: Config, capacity: int, lengths: Sequence[int]
) -> jax.Array:
    """Logits of all tokens, run in pieces of these lengths with a cache."""
    cache = empty_cache(config, len(tokens), capacity, jnp.float64)
    step = jax.jit(cached_forward, static_argnums=3)
    logits, start = [], 0
    for length in lengths:
        out, cache = step(params, jnp.asarray(tokens[:, start : start + length]), cache, config)
        logits.append(out)
        start += length
    assert start == tokens.shape[1]
    return jnp.concatenate(logits, axis=1)


def primitives(jaxpr: jax.extend.core.Jaxpr) -> Iterator[tuple[str, tuple[int, ...]]]:
    for eqn in jaxpr.eqns:
        for out in eqn.outvars:
            yield eqn.primitive.name, out.aval.shape
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                if hasattr(inner, "jaxpr"):
                    yield from primitives(inner.jaxpr)


def test_nothing_of_the_size_of_all_queries_times_all_keys_exists(params: Params) -> None:
    tokens = jnp.zeros((1, 8 * BLOCK), jnp.int32)
    program = jax.make_jaxpr(forward, static_argnums=2)(laid_out(params), tokens, FAST)
    largest = max(int(np.prod(shape)) for _, shape in primitives(program.jaxpr))
    assert largest < (8 * BLOCK) ** 2
    direct = jax.make_jaxpr(forward, static_argnums=2)(params, tokens, SHORT)
    assert max(int(np.prod(shape)) for _, shape in primitives(direct.jaxpr)) >= (8 * BLOCK) ** 2


def test_one_query_takes_few_keys_at_once_and_of_many_what_divides_them() -> None:
    assert pays(1, 1)
    assert [block_size(1, slots) for slots in (40, 1024, 4096, 2304, 1100)] == [
        40, 1024, 1024, BLOCK, BLOCK,
    ]  # fmt: skip
    assert [pays(2, slots) for slots in (BLOCK, 2 * BLOCK)] == [False, True]
    assert block_size(2, 4096) == BLOCK


def test_rows_are_laid_out_once(params: Params) -> None:
    once = laid_out(params)
    again = laid_out(once)
    assert again.blocks[0].mlp.output is once.blocks[0].mlp.output


def test_each_given_matrix_can_be_let_go_of() -> None:
    given = synthetic_params(SHORT, 0, "float32")
    expected = np.asarray(given.blocks[0].mlp.output).T
    rows = laid_out(given, consume=True)
    np.testing.assert_array_equal(rows.blocks[0].mlp.output.table, expected)
    assert given.blocks[0].mlp.output.is_deleted()
    # What is laid out as it came is the same array.
    assert rows.embedding.pieces[0] is given.embedding
    assert not given.embedding.is_deleted()


@pytest.mark.parametrize("window", [None, 300])
@pytest.mark.parametrize("own", [0, 512])
def test_the_blocks_looked_at_are_those_in_which_a_key_is_visible(
    own: int, window: int | None
) -> None:
    """Of keys before `own`, in any order, all; of the others what mask and window leave."""
    length = 4 * BLOCK
    slots = own + length
    for start in range(0, length, BLOCK):
        rows = slice(start, start + BLOCK)
        first, last = visible_blocks(rows, own, window, BLOCK, slots)
        assert last == (own + rows.stop) // BLOCK  # above the diagonal nothing
        oldest = own if window is None else own + rows.start - window + 1
        assert first == (oldest // BLOCK if oldest >= own and window is not None else 0)
        assert first * BLOCK <= max(oldest, 0)


def test_how_many_are_looked_at_may_be_known_at_run_time_only() -> None:
    blocks = jax.jit(lambda own: visible_blocks(slice(0, 8), own, 300, BLOCK, 8 * BLOCK)[1])
    assert [int(blocks(own)) for own in (0, BLOCK - 8, BLOCK - 7)] == [1, 1, 2]
    assert visible_blocks(slice(0, 8), None, None, BLOCK, 8 * BLOCK) == (0, 8)
