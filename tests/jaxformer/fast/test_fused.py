"""A backend's fused attention, by the kernel that JAX has everywhere: the same values."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import PRESETS, Config
from jaxformer.fast import fused as module
from jaxformer.fast.fused import fused, has_kernel
from jaxformer.model import forward

pytestmark = pytest.mark.quick

PADDING = 6
# Heads of 256 and grouped queries of 1B, in three blocks of both kinds.
WIDE = dataclasses.replace(
    PRESETS["gemma3-1b"],
    vocab_size=512,
    window=128,
    layer_kinds=("local", "global", "local"),
)


@pytest.fixture
def _kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_KERNELS", {"cpu": "xla"})
    monkeypatch.setattr(module, "_DTYPES", ("float64",))
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("_kernel")
def test_it_gives_what_the_exact_formulation_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over windows and grouped queries, with padding; JAX's kernel has its softmax in float32."""
    narrow = synthetic_params(SHORT, 0, "float32")
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), narrow)
    tokens = synthetic_tokens(SHORT, 3, 40, 0)
    tokens[0, :PADDING] = 0
    tokens[1, -PADDING:] = 0
    tokens[2] = 0
    run = jax.jit(forward, static_argnums=2)
    exact = np.asarray(run(params, tokens, SHORT))
    fast = SHORT.with_numerics(formulation="fast")
    asked = []
    monkeypatch.setattr(
        "jaxformer.attention.fused", lambda *given: asked.append(given) or fused(*given)
    )
    got = np.asarray(run(params, tokens, fast))
    assert len(asked) == SHORT.num_blocks
    assert np.abs(got - exact).max() <= 4 * jnp.finfo(jnp.float32).eps * np.abs(exact).max()


@pytest.mark.usefixtures("_kernel")
def test_what_a_query_that_sees_no_key_gets_is_not_left_to_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genuine = jax.nn.dot_product_attention

    def careless(*given: Any, mask: jax.Array, **how: Any) -> jax.Array:
        out = genuine(*given, mask=mask, **how)
        return jnp.where(mask.any(axis=-1).swapaxes(1, 2)[..., None], out, jnp.nan)

    monkeypatch.setattr(jax.nn, "dot_product_attention", careless)
    query, key, value = (
        jax.random.normal(jax.random.key(i), (2, 5, heads, 8), jnp.float32)
        for i, heads in enumerate((4, 2, 2))
    )
    mask = jnp.tril(jnp.ones((2, 5, 5), bool), -2)
    got = fused(query, key, value, mask, 1.0)
    mean = np.asarray(value).mean(axis=1)[:, [0, 0, 1, 1]]  # two queries share a key head
    for unseeing in (0, 1):
        np.testing.assert_allclose(got[:, unseeing], mean, rtol=1e-5)
    np.testing.assert_array_equal(got[:, 2], value[:, 0, [0, 0, 1, 1]])


def test_a_cpu_has_none_and_elsewhere_only_what_the_kernel_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several, one = jnp.zeros((1, 4, 2, 8), jnp.bfloat16), jnp.zeros((1, 1, 2, 8), jnp.bfloat16)
    assert not has_kernel(several)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert has_kernel(several)
    assert not has_kernel(one)
    assert not has_kernel(several.astype(jnp.float32))


@pytest.mark.skipif(jax.default_backend() == "cpu", reason="needs a backend with a fused kernel")
def test_the_backends_own_kernel_is_as_near_to_float32_as_the_exact_formulation() -> None:
    params = synthetic_params(WIDE, 0, "bfloat16")
    tokens = synthetic_tokens(WIDE, 2, 320, 0)
    tokens[0, :PADDING] = 0
    run = jax.jit(forward, static_argnums=2)
    with jax.default_matmul_precision("highest"):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
        expected = np.asarray(run(wide, tokens, WIDE))

    def error(config: Config) -> float:
        got = np.asarray(run(params, tokens, config), np.float32)
        assert np.isfinite(got).all()
        return float(np.sqrt(np.mean((got - expected) ** 2)))

    fast = WIDE.with_numerics(formulation="fast")
    assert "cudnn" in run.lower(params, tokens, fast).as_text()
    assert error(fast) <= 1.1 * error(WIDE)
