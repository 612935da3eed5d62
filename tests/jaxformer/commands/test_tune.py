"""Tuning: what is fastest is chosen, and kept where the model looks for it."""

import math
from pathlib import Path

import jax.numpy as jnp
import pytest
from cases import SHORT

from jaxformer import tune, tune_command
from jaxformer.__main__ import main
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.forms import MANY, Choice, read_choices
from jaxformer.layout import laid_out
from jaxformer.rows import Rows
from jaxformer.tune import choice_of, shapes

FAST = SHORT.with_numerics(formulation="fast")


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


def test_the_command_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAXFORMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(tune_command.PRESETS, "gemma3-1b", SHORT)
    monkeypatch.setattr(tune, "COUNTS", (1, 8, 32))
    assert main(["tune"]) == 0
    shown = capsys.readouterr().out
    assert f"kept in {tmp_path / 'cache'}" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    choices = read_choices()
    assert len(choices) == len(shapes(SHORT))
    rows = laid_out(synthetic_params(SHORT, 0, "bfloat16"), lambda o, i, d: choices[f"{o}x{i} {d}"])
    assert rows.embedding(jnp.ones((2, SHORT.width), jnp.bfloat16)).shape == (2, SHORT.vocab_size)


def test_bad_input_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--dtype", "int8"]) == 2
    assert "--dtype must be one of bfloat16, float32" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXFORMER_CACHE", str(tmp_path / "file"))
    monkeypatch.setitem(tune_command.PRESETS, "gemma3-1b", SHORT)
    monkeypatch.setattr(tune, "COUNTS", (1, 2))
    assert main(["tune"]) == 2
    assert "set JAXFORMER_CACHE to a folder" in capsys.readouterr().err.splitlines()[-1]
