"""The tuning command: what is fastest is kept where the model looks for it."""

from pathlib import Path

import jax.numpy as jnp
import pytest
from cases import SHORT

from jaxformer.__main__ import main
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.commands import tune as command
from jaxformer.fast import tuning
from jaxformer.fast.forms import read_choices
from jaxformer.fast.layout import laid_out
from jaxformer.fast.tuning import shapes

pytestmark = pytest.mark.quick


def test_the_command_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAXFORMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(command.PRESETS, "gemma3-1b", SHORT)
    monkeypatch.setattr(tuning, "COUNTS", (1, 8, 32))
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
    monkeypatch.setitem(command.PRESETS, "gemma3-1b", SHORT)
    monkeypatch.setattr(tuning, "COUNTS", (1, 2))
    assert main(["tune"]) == 2
    assert "set JAXFORMER_CACHE to a folder" in capsys.readouterr().err.splitlines()[-1]
