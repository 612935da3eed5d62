"""What an explanation says of the replay that it rests on, in words."""

import jax.numpy as jnp
import pytest

from parity.explain import explain
from parity.explain.faithful import Faithfulness

OURS, REFERENCE = "ours", "the reference"
MODES = ("default", "strict")


@pytest.mark.parametrize(("outputs", "where"), [(1, "their one output"), (20, "all 20 outputs")])
def test_a_replay_with_the_bits_of_both_programs_says_so_once(outputs: int, where: str) -> None:
    missed = {(OURS, "default"): [], (REFERENCE, "default"): []}
    said = "checked: run one operation at a time, both give the same bits as compiled at "
    assert str(Faithfulness(missed, outputs)) == said + where


def test_outputs_with_other_bits_are_counted_and_named_where_every_operation_rounds() -> None:
    names = ["q", "k", "v", "out"]
    missed = {
        (OURS, "default"): names,
        (OURS, "strict"): ["q"],
        (REFERENCE, "default"): ["q"],
        (REFERENCE, "strict"): [],
    }
    assert str(Faithfulness(missed, 5)) == (
        "checked: run one operation at a time, ours gives the same bits as compiled at 1 of 5 "
        "outputs, the reference at 4 of 5; compiled so that every operation rounds, ours at 4 of "
        "5 (not q), the reference at 5 of 5"
    )


def test_a_side_without_a_strict_run_is_left_out_of_it() -> None:
    missed = {(OURS, "default"): ["q"], (OURS, "strict"): [], (REFERENCE, "default"): []}
    assert str(Faithfulness(missed, 2)) == (
        "checked: run one operation at a time, ours gives the same bits as compiled at 1 of 2 "
        "outputs, the reference at 2 of 2; compiled so that every operation rounds, ours at 2 of 2"
    )


def test_an_only_output_needs_no_name() -> None:
    missed = {(side, mode): ["the output"] for side in (OURS, REFERENCE) for mode in MODES}
    assert str(Faithfulness(missed, 1)) == (
        "checked: run one operation at a time, ours gives the same bits as compiled at 0 of 1 "
        "outputs, the reference at 0 of 1; compiled so that every operation rounds, ours at 0 of "
        "1, the reference at 0 of 1"
    )


def test_an_explanation_ends_with_it() -> None:
    text = str(explain(lambda x: x + 1, lambda x: 1 + x, jnp.ones(3)))
    assert "checked: run one operation at a time, both give" in " ".join(text.split())
