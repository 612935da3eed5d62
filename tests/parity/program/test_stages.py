"""Stages: zero where nothing is made, and the fault's own place where something is."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from cases import SHORT, SMALL, Case, small_case, tap_count

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import Rope
from parity.program.stages import Scope, Stage
from parity.sides.function import FunctionSide
from parity.sides.recording import record_trace
from parity.sides.staged import StagedSide
from parity.subjects.gemma.blocks import by_block
from parity.trace.frames import MemorySink
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column
from parity.verdict.diff import diff_traces

pytestmark = pytest.mark.quick

WRONG_ROPE = dataclasses.replace(SHORT, global_rope=Rope(10_000))


@pytest.mark.matrix
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_nothing_is_made_anywhere(dtype: str) -> None:
    column = small_case(dtype).examine(oracle=None)
    assert len(column.taps) == tap_count(SMALL.num_blocks, whole=True)
    assert [tap.tap for tap in column.taps if tap.local is None or tap.stage is None] == []
    assert column.first_divergence is None
    assert column.first_local is None
    assert {tap.stage.metrics.mismatched for tap in column.taps if tap.stage} == {0}


def made_in(column: Column) -> set[int | None]:
    rows = by_block([tap.tap for tap in column.taps])
    made = (tap.tap for tap in column.taps if tap.local and tap.local.mismatched)
    return {rows.number(tap) for tap in made}


@pytest.fixture(scope="module")
def faulty() -> Column:
    """The only global block is wrong."""
    case = Case(SHORT, synthetic_params(SHORT, 0), (2, 20), SHORT.num_blocks)
    return case.examine(WRONG_ROPE)


def test_a_fault_of_global_blocks_is_local_to_the_global_block(faulty: Column) -> None:
    assert made_in(faulty) == {1}


def test_a_block_that_makes_nothing_says_so_where_its_free_error_is_saturated(
    faulty: Column,
) -> None:
    """Free errors go on into block 2, which makes none of its own."""
    after = faulty.tap("blocks.2.output")
    assert after is not None
    assert after.metrics is not None
    assert after.local is not None
    assert after.metrics.mismatched > 0.5 * after.metrics.size
    assert after.local.mismatched == 0
    assert after.inherited == after.metrics.rel_l2
    assert after.status == "diverged"
    nothing = f"on the reference's values 0 of {after.metrics.size} differ"
    assert after.reason == f"inherited from blocks.1.attn.query_rope; {nothing}"


def test_between_taps_only_the_faulty_stage_shows(faulty: Column) -> None:
    shown = {tap.tap for tap in faulty.taps if tap.stage and tap.stage.metrics.mismatched}
    assert shown == {"blocks.1.attn.query_rope", "blocks.1.attn.key_rope"}


def test_stages_of_a_kind_share_one_program() -> None:
    official, ours = small_case().sources()
    for source in (official, ours):
        reference = recorded_trace(source)
        staged = source.injected(reference, "taps")
        staged.prepare()
        assert len(staged._programs) == 4  # embedding, local, global, head


def recorded_trace(source: FunctionSide):
    sink = MemorySink()
    source.run(sink)
    return sink.trace(source.manifest)


def test_the_official_stages_make_what_the_whole_model_makes() -> None:
    """In bfloat16, where what is compiled together doesn't round together (FACTS)."""
    official, _ = small_case().sources()
    whole = recorded_trace(official)
    pieces = MemorySink()
    official.injected(whole, "blocks").run(pieces)
    column = diff_traces(pieces.trace(Manifest("pieces")), whole)
    assert len(column.taps) == tap_count(SMALL.num_blocks, whole=True)
    assert column.first_divergence is None


def two_steps(x, *, tap):
    h = tap("hidden", jnp.tanh(x))
    return tap("out", h @ h.T)


@pytest.mark.parametrize("scope", ["blocks", "taps"])
def test_a_function_without_stages_is_one_piece(scope: Scope) -> None:
    x = jnp.linspace(-1, 1, 12).reshape(3, 4)
    reference = record_trace(lambda x, *, tap: two_steps(x * 1.5, tap=tap), x)
    source = FunctionSide("ours", two_steps, (x,), Manifest("test"))
    sink = MemorySink()
    source.injected(reference, scope).run(sink)
    trace = sink.trace(Manifest("staged"))
    assert not np.array_equal(trace["hidden"], reference["hidden"])
    # Between taps, `out` is made of the reference's `hidden`, and so is the reference's.
    assert np.array_equal(trace["out"], reference["out"]) == (scope == "taps")


def test_a_stage_whose_input_was_not_recorded_is_left_out() -> None:
    x = jnp.ones(3)
    reference = record_trace(lambda x, *, tap: tap("a", x), x)
    stages = [
        Stage("", "first", lambda x, *, tap: tap("a", x), (x,), taps=("a",)),
        Stage("b.", "second", lambda y, *, tap: tap("c", y), (), source="b.input"),
    ]
    staged = StagedSide("ours", stages, reference, "blocks", Manifest("test"))
    assert [spec.name for spec in staged.prepare()] == ["a"]
