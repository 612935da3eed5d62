"""The forward pass: taps at every point of the table, depth, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL, tap_shapes

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.model import forward
from jaxformer.taps import no_tap, prefixed

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
