"""Matrices widened once for several products: the same bits, in the same memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT, talkative

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.fast.layout import laid_out
from jaxformer.fast.prefill import prefill
from jaxformer.fast.rows import Rows
from jaxformer.fast.widening import Widener, worth_widening

FAST = SHORT.with_numerics(formulation="fast")


def rows(dtype: str, widened_from: int = 40) -> Rows:
    matrix = jnp.ones((4, 8), dtype)
    return Rows((matrix,), (4,), 1, ((1 << 31, "dot"),), widened_from)


def test_bfloat16_rows_are_worth_widening_for_many_vectors_and_nothing_else_is() -> None:
    assert worth_widening(rows("bfloat16"), 40)
    assert not worth_widening(rows("bfloat16"), 39)
    assert not worth_widening(rows("float32"), 512)
    assert not worth_widening(jnp.ones((4, 8), jnp.bfloat16), 512)


def test_a_backend_that_multiplies_bfloat16_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not worth_widening(rows("bfloat16"), 512)


def test_only_what_is_worth_it_is_widened() -> None:
    params = laid_out(talkative(synthetic_params(SHORT, 0, "bfloat16")))
    given = params.blocks[0]
    attn = dataclasses.replace(
        given.attn, output=dataclasses.replace(given.attn.output, widened_from=1000)
    )
    wide = Widener(FAST).block(dataclasses.replace(given, attn=attn), 100)
    assert wide.attn.query.dtype == wide.mlp.gating.dtype == jnp.float32
    assert wide.attn.output.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        np.asarray(wide.mlp.gating.table), np.asarray(given.mlp.gating.table, np.float32)
    )


def test_every_block_is_widened_into_the_same_memory() -> None:
    widen = Widener(FAST)
    first = widen([jnp.ones((4, 8), jnp.bfloat16)])
    second = widen([jnp.full((4, 8), 2, jnp.bfloat16)])
    assert first[0].is_deleted()
    np.testing.assert_array_equal(second[0], np.full((4, 8), 2, np.float32))


@pytest.mark.matrix
def test_widened_once_or_by_every_product_the_bits_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = laid_out(talkative(synthetic_params(SHORT, 0, "bfloat16")))
    tokens = synthetic_tokens(SHORT, 1, 80, 0)
    once, _ = prefill(params, tokens, FAST, 96, 40)
    monkeypatch.setattr("jaxformer.fast.widening.worth_widening", lambda *_: False)
    every, _ = prefill(params, tokens, FAST, 96, 40)
    np.testing.assert_array_equal(*(np.asarray(x).view(np.uint16) for x in (once, every)))
