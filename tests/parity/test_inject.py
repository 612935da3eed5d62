"""Injection: zero where nothing is made, and the fault's own stage where something is."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from cases import SMALL, quiet

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import Config, Rope
from parity.comparison import Column, Comparison, TapDiff, inherited_error
from parity.diff import diff_arrays
from parity.inject import Scope
from parity.run import Candidate, compare_candidates, controlled_injection, recorded
from parity.sources.flax_gemma import flax_gemma_source
from parity.sources.gemma_package import converted_config
from parity.sources.jaxformer import jaxformer_source
from parity.trace import Manifest


def injected_column(config: Config, scope: Scope, dtype: str) -> Column:
    """ours, under `config`, against the official package under SMALL's, with local errors."""
    params = synthetic_params(SMALL, 0, dtype)
    tokens = jnp.asarray(synthetic_tokens(SMALL, 2, 20, 0))
    common: Any = (params, tokens)
    official = flax_gemma_source(*common, converted_config(SMALL, 7), Manifest("test"))
    ours = jaxformer_source(*common, config, Manifest("test"), blocks=7)
    with (
        recorded(official, quiet) as reference,
        controlled_injection(official, reference, scope, quiet) as injection,
    ):
        columns, _ = compare_candidates(
            reference,
            {},
            [Candidate("ours", {}, lambda: ours)],
            certify=False,
            inject=injection,
            progress=quiet,
        )
    return columns[0]


@pytest.mark.parametrize("scope", ["blocks", "taps"])
def test_nothing_is_made_anywhere_in_bfloat16(scope: Scope) -> None:
    column = injected_column(SMALL, scope, "bfloat16")
    assert column.injected
    assert [tap.tap for tap in column.taps if tap.local is None] == []
    assert column.first_divergence is None
    assert column.first_local is None


def test_nothing_is_made_in_any_block_in_float32() -> None:
    """Against the reference under the same injection; against its free run block 0 would differ."""
    assert injected_column(SMALL, "blocks", "float32").first_local is None


def made_in(column: Column) -> set[int | None]:
    return {tap.block for tap in column.taps if tap.local and tap.local.mismatched}


def test_a_fault_of_global_blocks_is_local_to_the_global_block() -> None:
    """Free errors go on into block 6, which makes none of its own."""
    wrong = dataclasses.replace(SMALL, global_rope=Rope(10_000))
    column = injected_column(wrong, "blocks", "bfloat16")
    assert made_in(column) == {5}
    after = column.tap("blocks.6.output")
    assert after is not None
    assert after.metrics is not None
    assert after.local is not None
    assert after.metrics.mismatched > 0
    assert after.local.mismatched == 0
    assert inherited_error(after) == after.metrics.rel_l2


def test_at_every_tap_only_the_faulty_stage_shows() -> None:
    wrong = dataclasses.replace(SMALL, global_rope=Rope(10_000))
    column = injected_column(wrong, "taps", "bfloat16")
    shown = {tap.tap for tap in column.taps if tap.local and tap.local.mismatched}
    assert shown == {"blocks.5.attn.query_rope", "blocks.5.attn.key_rope"}


def test_a_query_scaled_twice_shows_in_the_probabilities_of_every_block() -> None:
    wrong = dataclasses.replace(SMALL, query_pre_attn_scalar=32 * 32)
    column = injected_column(wrong, "taps", "bfloat16")
    shown = {tap.tap for tap in column.taps if tap.local and tap.local.mismatched}
    assert shown == {f"blocks.{i}.attn.probs" for i in range(7)}


def test_inherited_is_free_less_local_in_quadrature() -> None:
    reference = np.float32([3.0, 4.0])
    free = diff_arrays("a", reference, np.float32([3.0, 4.5])).metrics
    local = diff_arrays("a", reference, np.float32([3.3, 4.0])).metrics
    assert inherited_error(TapDiff("a", "different", "", free, local)) == pytest.approx(
        np.sqrt(0.1**2 - 0.06**2), rel=1e-5
    )
    assert inherited_error(TapDiff("a", "different", "", local, free)) == 0
    assert inherited_error(TapDiff("a", "different", "", free)) is None


def test_rows_hold_local_inherited_and_gain() -> None:
    one, two, three = np.float32([1, 0]), np.float32([1, 0.1]), np.float32([1, 0.2])
    free = Column(
        "ours",
        {},
        [diff_arrays("blocks.0.input", one, two), diff_arrays("blocks.0.output", one, three)],
    )
    same = Column(
        "ours",
        {},
        [diff_arrays("blocks.0.input", one, two), diff_arrays("blocks.0.output", one, one)],
    )
    row = Comparison({}, [free.with_local(same)]).to_json()["columns"][0]["taps"][1]
    assert row["gain"] == pytest.approx(2)
    assert row["local_mismatched"] == 0
    assert row["inherited_rel_l2"] == pytest.approx(0.2)
