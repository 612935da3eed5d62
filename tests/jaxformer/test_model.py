"""The forward pass: taps at every point of the table, depth, and what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT, SMALL, tap_shapes

from jaxformer.attention import PADDING_ID
from jaxformer.cache import cached_forward, empty_cache
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.fast.blockwise import BLOCK
from jaxformer.fast.layout import laid_out
from jaxformer.model import forward
from jaxformer.taps import no_tap, prefixed

pytestmark = pytest.mark.quick

PARAMS = synthetic_params(SMALL, 0, "float32")
TOKENS = jnp.asarray(synthetic_tokens(SMALL, 2, 5, 0))


def taps_of(blocks: int | None) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def tap(name: str, value: jax.Array) -> jax.Array:
        assert name not in shapes
        shapes[name] = value.shape
        return value

    jax.eval_shape(lambda p, t: forward(p, t, SMALL, tap=tap, blocks=blocks), PARAMS, TOKENS)
    return shapes


@pytest.mark.parametrize("blocks", [4, 2])
def test_every_tap_of_the_table_is_seen_in_its_order_and_shape(blocks: int) -> None:
    assert list(taps_of(blocks).items()) == tap_shapes(SMALL, blocks, 2, 5)


def test_a_cut_model_ends_with_the_residual_stream() -> None:
    names = list(taps_of(2))
    assert names[-1] == "blocks.1.output"
    assert forward(PARAMS, TOKENS, SMALL, blocks=2).shape == (2, 5, 64)


def test_no_tap_adds_nothing_to_the_program() -> None:
    plain = jax.make_jaxpr(lambda p, t: forward(p, t, SMALL))(PARAMS, TOKENS)
    identity = jax.make_jaxpr(lambda p, t: forward(p, t, SMALL, tap=lambda n, v: v))(PARAMS, TOKENS)
    assert str(plain) == str(identity)
    assert "callback" not in str(plain)
    assert prefixed(no_tap, "blocks.0") is no_tap


def test_rows_of_a_batch_do_not_see_each_other() -> None:
    both = forward(PARAMS, TOKENS, SMALL)
    other = forward(PARAMS, TOKENS.at[1].set(7), SMALL)
    np.testing.assert_array_equal(both[0], other[0])


def test_trailing_padding_changes_nothing_before_it() -> None:
    padded = jnp.concatenate([TOKENS, jnp.zeros((2, 3), jnp.int32)], axis=1)
    plain, longer = (jax.jit(forward, static_argnums=2)(PARAMS, t, SMALL) for t in (TOKENS, padded))
    # Another length may pick other kernels: float32 sums of up to 128 terms over 4 blocks.
    np.testing.assert_allclose(longer[:, :5], plain, atol=2e-5)


@pytest.mark.parametrize("blocks", [0, 5, -1])
def test_depth_outside_the_model_is_refused(blocks: int) -> None:
    with pytest.raises(ValueError, match=rf"blocks must lie in 1..4, got {blocks}"):
        forward(PARAMS, TOKENS, SMALL, blocks=blocks)


def test_parameters_of_fewer_blocks_are_refused() -> None:
    cut = synthetic_params(SMALL, 0, "float32", blocks=3)
    with pytest.raises(ValueError, match="4 blocks asked for, the parameters hold 3"):
        forward(cut, TOKENS, SMALL)
    forward(cut, TOKENS, SMALL, blocks=3)


def with_padding(length: int) -> jax.Array:
    """Rows with padding before, after, and alone."""
    tokens = synthetic_tokens(SHORT, 3, length, 0)
    tokens[0, : length // 3] = 0
    tokens[1, length // 2 :] = 0
    tokens[2] = 0
    return jnp.asarray(tokens)


@pytest.mark.parametrize("formulation", ["exact", "fast"])
@pytest.mark.parametrize(
    ("length", "pieces"), [(12, 0), (BLOCK + 20, 0), (12, 2), (12, 12)], ids=str
)
def test_nothing_that_is_computed_for_padding_reaches_a_token(
    formulation: str, length: int, pieces: int
) -> None:
    """Not even if attention gave padding something else altogether; nor through a cache, on whose
    ring of 8 slots padding comes and goes."""
    config = SHORT.with_numerics(formulation=formulation)
    params = synthetic_params(SHORT, 0, "float32")
    params = laid_out(params) if formulation == "fast" else params
    tokens = with_padding(length)

    def added(tokens: jax.Array, poison: float) -> Any:
        padding = (tokens == PADDING_ID)[:, :, None, None]

        def tap(name: str, value: jax.Array) -> jax.Array:
            return value + poison * padding if name.endswith("attn.encoded") else value

        return tap

    @jax.jit
    def run(tokens: jax.Array, poison: float, cache: Any) -> Any:
        tap = added(tokens, poison)
        if pieces:
            return cached_forward(params, tokens, cache, config, tap=tap)
        return forward(params, tokens, config, tap=tap), None

    def outputs(poison: float) -> np.ndarray:
        cache = empty_cache(config, 3, length, "float32") if pieces else None
        found = []
        for piece in jnp.split(tokens, pieces or 1, axis=1):
            out, cache = run(piece, poison, cache)
            found.append(np.asarray(out))
        return np.concatenate(found, axis=1)

    plain, poisoned = outputs(0.0), outputs(1e3)
    real = np.asarray(tokens) > 0
    np.testing.assert_array_equal(plain[real], poisoned[real])
    assert bool((plain[~real] != poisoned[~real]).any())
