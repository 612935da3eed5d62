"""Which form of a product is chosen from what was measured, and that every matrix is measured."""

import math

from cases import SHORT

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.fast.forms import MANY, Choice
from jaxformer.fast.layout import laid_out
from jaxformer.fast.rows import Rows
from jaxformer.fast.tuning import choice_of, shapes


def test_the_fastest_of_each_count_and_widening_where_it_pays() -> None:
    found = {
        1: {"dot": 2.0, "stack": 1.0, "widen": 3.0, "wide": 1.0},
        4: {"dot": 3.0, "stack": 2.0, "widen": 3.0, "wide": 1.0},
        16: {"dot": 4.0, "stack": 9.0, "widen": 3.0, "wide": 1.0},
        64: {"dot": 5.0, "widen": 3.0, "wide": 1.0},
    }
    assert choice_of(found) == Choice(((4, "stack"), (MANY, "dot")), 17)
    found[64]["wide"] = 2.0
    assert choice_of(found).widened_from == MANY


def test_what_was_measured_for_few_is_not_taken_for_many() -> None:
    assert choice_of({1: {"dot": 2.0, "stack": 1.0}}) == Choice(((1, "stack"), (MANY, "dot")), MANY)


def test_a_form_must_be_clearly_faster_than_the_models_own() -> None:
    near = {1: {"dot": 1.0, "stack": 1.05}, 2: {"dot": 1.0, "stack": 1.5}}
    assert choice_of(near).forms == ((1, "stack"), (MANY, "dot"))


def test_a_single_noisy_win_among_losses_does_not_count() -> None:
    losing = {"dot": 1.0, "widen": 3.0, "wide": 1.0}
    winning = {"dot": 9.0, "widen": 3.0, "wide": 1.0}
    assert choice_of({1: winning, 2: losing, 4: winning}).widened_from == 3


def test_every_matrix_of_the_model_is_measured() -> None:
    rows = laid_out(synthetic_params(SHORT, 0, "bfloat16"))
    blocks = [rows.blocks[0].attn, rows.blocks[0].mlp]
    matrices = [rows.embedding, *(m for b in blocks for m in vars(b).values())]
    used = {
        (math.prod(m.out_shape), sum(p.shape[1] for p in m.pieces))
        for m in matrices
        if isinstance(m, Rows)
    }
    assert {(outputs, inputs) for outputs, inputs, _ in shapes(SHORT)} == used
