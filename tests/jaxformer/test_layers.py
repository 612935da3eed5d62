"""Layers against their formulas in float64, and formulations against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxformer.config import Rope
from jaxformer.fast.rows import Rows
from jaxformer.layers import apply_rope, embed, gate_and_up, gated_mlp, rms_norm, unembed
from jaxformer.numerics import NUMERICS_PROFILES, Numerics
from jaxformer.taps import no_tap

pytestmark = pytest.mark.quick

FLOAT32_EPS = float(np.finfo(np.float32).eps)


def normal(*shape: int, seed: int = 0, dtype: str = "float32") -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def assert_close(actual: jax.Array, expected: np.ndarray, steps: int) -> None:
    """Within `steps` float32 roundings of the largest value: what that many operations may lose."""
    bound = steps * FLOAT32_EPS * np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=0, atol=bound)


def test_rms_norm_is_its_formula() -> None:
    x, scale = normal(3, 5, 64), normal(64, seed=1)
    wide, gain = np.asarray(x, np.float64), 1 + np.asarray(scale, np.float64)
    expected = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * gain
    assert_close(rms_norm(x, scale, Numerics()), expected, steps=8)


def test_rms_norm_epsilon_matters_where_the_mean_square_is_small() -> None:
    x, scale = 1e-3 * normal(1, 64), jnp.zeros(64)
    small, large = (rms_norm(x, scale, Numerics(rms_norm_eps=eps)) for eps in (1e-6, 1e-5))
    # mean square 1e-6: rsqrt(2e-6) against rsqrt(1.1e-5)
    assert 2.0 < float(jnp.abs(small).max() / jnp.abs(large).max()) < 2.7


def test_rms_norm_in_float32_rounds_once_for_bfloat16_input() -> None:
    x, scale = normal(4, 256, dtype="bfloat16"), normal(256, seed=1, dtype="bfloat16")
    wide = rms_norm(x.astype("float32"), scale.astype("float32"), Numerics())
    ours = rms_norm(x, scale, NUMERICS_PROFILES["hf"])
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_array_equal(ours, wide.astype(jnp.bfloat16))


def test_rope_rotates_each_pair_by_its_angle() -> None:
    x = normal(1, 4, 2, 8)
    positions = jnp.asarray([[0, 1, 7, 100]])
    wide = np.asarray(x, np.float64)
    half = np.arange(4)
    angle = np.asarray(positions)[0][:, None] / 10_000 ** (2 * half / 8) / 8.0
    turn = np.exp(1j * angle)[None, :, None, :]
    turned = (wide[..., :4] + 1j * wide[..., 4:]) * turn
    expected = np.concatenate([turned.real, turned.imag], -1)
    # The angle itself, up to 12.5 rad here, is a float32: 100 more roundings of 1.
    assert_close(apply_rope(x, positions, Rope(10_000, 8.0), Numerics()), expected, steps=100)


def test_rope_leaves_position_zero_alone() -> None:
    x = normal(1, 1, 2, 8, dtype="bfloat16")
    rotated = apply_rope(x, jnp.zeros((1, 1), int), Rope(10_000), Numerics())
    np.testing.assert_array_equal(rotated, x)


def test_rope_in_input_dtype_rounds_differently_in_bfloat16_only() -> None:
    positions = jnp.arange(16)[None]
    for dtype, same in (("bfloat16", False), ("float32", True)):
        x = normal(1, 16, 2, 64, dtype=dtype)
        a, b = (
            apply_rope(x, positions, Rope(10_000), NUMERICS_PROFILES[p]) for p in ("official", "hf")
        )
        assert bool((a == b).all()) is same


@pytest.mark.parametrize("formulation", ["fused", "split", "stacked", "concatenated"])
def test_gating_formulations_compute_gate_and_up(formulation: str) -> None:
    x, weights = normal(2, 3, 32), normal(2, 48, 32, seed=1)
    gate, up = gate_and_up(x, weights, formulation)  # type: ignore[arg-type]
    wide, w = np.asarray(x, np.float64), np.asarray(weights, np.float64)
    # A sum of 32 products, in any order.
    assert_close(gate, wide @ w[0].T, steps=32)
    assert_close(up, wide @ w[1].T, steps=32)


def test_weights_in_rows_refuse_a_gating_that_they_would_ignore() -> None:
    rows = Rows((normal(96, 32),), (2, 48), 1, ((1 << 31, "dot"),), 1 << 31)
    assert [half.shape for half in gate_and_up(normal(2, 3, 32), rows, "fused")] == [(2, 3, 48)] * 2
    with pytest.raises(ValueError, match="in rows can't be multiplied as gating=stacked asks"):
        gate_and_up(normal(2, 3, 32), rows, "stacked")


def test_mlp_gates_with_the_tanh_gelu() -> None:
    x, gating, output = normal(1, 2, 16), normal(2, 24, 16, seed=1), normal(24, 16, seed=2)
    wide = np.asarray(x, np.float64)
    gate, up = (wide @ np.asarray(w, np.float64).T for w in gating)
    gelu = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
    expected = (gelu * up) @ np.asarray(output, np.float64)
    assert_close(gated_mlp(x, gating, output, Numerics(), no_tap), expected, steps=64)


def test_embedding_is_scaled_by_the_root_of_the_width_in_its_own_dtype() -> None:
    for dtype, scale in (("bfloat16", 34.0), ("float32", np.float32(np.sqrt(1152)))):
        table = jnp.ones((4, 1152), dtype)
        x = embed(table, jnp.asarray([[3]]))
        assert x.dtype == dtype
        assert float(x[0, 0, 0]) == scale


def test_unembedding_is_the_transposed_table() -> None:
    table, x = normal(10, 4), normal(1, 2, 4, seed=1)
    assert_close(unembed(table, x), np.asarray(x, np.float64) @ np.asarray(table, np.float64).T, 8)
