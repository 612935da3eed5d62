"""The table of taps: names that can be told apart, letters that are known, and its expansion."""

import pytest

from jaxformer.taps import BLOCK_TAPS, MODEL_TAPS, TapPoint, model_taps


def test_every_name_stands_once_and_every_shape_is_of_known_letters() -> None:
    table = [*BLOCK_TAPS, *MODEL_TAPS]
    assert len({point.name for point in table}) == len(table) == 23
    assert all(set(point.letters) <= set("BTSDNKHFV") for point in table)
    assert all(point.meaning for point in table)


def test_a_run_begins_with_the_embedding_and_ends_with_the_logits() -> None:
    names = [point.name for point in model_taps(2)]
    assert names[:3] == ["embed", "blocks.0.input", "blocks.0.pre_attention_norm"]
    assert names[20:22] == ["blocks.0.output", "blocks.1.input"]
    assert names[-2:] == ["final_norm", "logits"]
    assert len(names) == 1 + 2 * len(BLOCK_TAPS) + 2


def test_a_cut_run_ends_with_its_last_block() -> None:
    assert [point.name for point in model_taps(3, whole=False)][-1] == "blocks.2.output"


def test_a_shape_needs_the_size_of_each_letter() -> None:
    point = TapPoint("x", "BSK", "")
    assert point.shape({"B": 2, "S": 5, "K": 3, "T": 9}) == (2, 5, 3)
    with pytest.raises(KeyError, match="K"):
        point.shape({"B": 2, "S": 5})
