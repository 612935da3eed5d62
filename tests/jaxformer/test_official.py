"""The official package's view of our configs and parameters, and what is said without it."""

import dataclasses
import subprocess
import sys
import types
from typing import Any

import jax
import pytest
from cases import SMALL

from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.errors import UsageError
from jaxformer.official import converted_config, import_gemma, official_params

# Run in a process of its own, as TensorFlow logs once.
IMPORTS = "from jaxformer.official import import_gemma; print(import_gemma().__name__)"


def test_the_package_is_given_the_very_same_arrays() -> None:
    params = synthetic_params(SMALL, 0)
    leaves = {id(leaf) for leaf in jax.tree.leaves(params)}
    assert {id(leaf) for leaf in jax.tree.leaves(official_params(params))} == leaves


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"query_pre_attn_scalar": 100}, r"scale queries by \[16, 32\] only.*got.* 100"),
        ({"num_kv_heads": 4}, "fuses q, k and v"),
    ],
)
def test_shapes_that_the_package_cannot_express_are_refused(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        converted_config(dataclasses.replace(SMALL, **fields), 4)


def test_a_package_that_is_not_installed_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gemma", None)
    with pytest.raises(UsageError, match=r"gemma, is not installed .*pip install -c constraints"):
        import_gemma()


def test_a_package_of_versions_that_do_not_fit_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        @property
        def Transformer(self) -> Any:  # noqa: N802
            raise AttributeError("module 'jax' has no attribute 'thing'\nand more")

    broken = types.SimpleNamespace(gm=types.SimpleNamespace(nn=Broken()))
    monkeypatch.setitem(sys.modules, "gemma", broken)
    with pytest.raises(UsageError) as raised:
        import_gemma()
    assert str(raised.value).startswith(
        "the official package can't be imported (module 'jax' has no attribute 'thing'); install"
    )


def test_importing_it_prints_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("gemma.gm\n", "")
