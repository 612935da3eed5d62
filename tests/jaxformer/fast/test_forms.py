"""Choices of form: kept for this machine alone, and never trusted where they make no sense."""

import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import PRESETS
from jaxformer.fast import forms
from jaxformer.fast.forms import (
    MANY,
    Choice,
    choices_file,
    default_choice,
    measured_choice,
    read_choices,
    shape_name,
    write_choices,
)
from jaxformer.fast.layout import laid_out

BFLOAT16 = jnp.dtype("bfloat16")
CHOICE = Choice(((4, "stack"), (MANY, "dot")), 100)
NAME = shape_name(64, 32, BFLOAT16)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JAXFORMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_measured_is_chosen_and_else_the_default() -> None:
    write_choices({NAME: CHOICE})
    choose = measured_choice()
    assert choose(64, 32, BFLOAT16) == CHOICE
    for other in ((32, 64, BFLOAT16), (64, 32, jnp.dtype("float32"))):
        assert choose(*other) == default_choice(*other) != CHOICE


def test_choices_add_up_and_the_later_one_holds(folder: Path) -> None:
    write_choices({NAME: CHOICE})
    later = Choice(((MANY, "dot"),), 7)
    path = write_choices({"8x8 float32": CHOICE, NAME: later})
    assert read_choices() == {NAME: later, "8x8 float32": CHOICE}
    assert [*folder.iterdir()] == [path]  # nothing half written beside it


def test_another_machine_has_choices_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_choices({NAME: CHOICE})
    monkeypatch.setattr(forms, "machine", lambda: {"processor": "another"})
    assert choices_file() != path
    # Nor is a file under this machine's name trusted that was written on that one.
    choices_file().write_text(path.read_text())
    assert read_choices() == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 99}',
        json.dumps({"forms": [[4, "stack"]], "widened_from": 1}),  # more vectors have no form
        json.dumps({"forms": [[9, "dot"], [4, "dot"], [MANY, "dot"]], "widened_from": 1}),
        json.dumps({"forms": [[MANY, "__import__"]], "widened_from": 1}),
        json.dumps({"forms": [], "widened_from": 1}),
        json.dumps({"forms": [[MANY, "dot"]]}),
    ],
)
def test_a_file_that_makes_no_sense_is_as_none(text: str) -> None:
    path = write_choices({NAME: CHOICE})
    document = json.loads(path.read_text())
    given = json.loads(text) if text else None
    if isinstance(given, dict) and "schema" not in given:
        text = json.dumps({**document, "choices": {NAME: given}})
    path.write_text(text)
    assert read_choices() == {}
    assert measured_choice()(64, 32, BFLOAT16) == default_choice(64, 32, BFLOAT16)


def test_the_layout_takes_the_choice() -> None:
    params = synthetic_params(PRESETS["gemma3-270m"], 0, "bfloat16", blocks=1)
    rows = laid_out(params, lambda *_: CHOICE)
    query = rows.blocks[0].attn.query
    assert (query.forms, query.widened_from) == (CHOICE.forms, 100)
    assert query.form(4) == "stack"
    assert query.form(5) == "dot"
