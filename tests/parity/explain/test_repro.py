"""A script that shows one departure alone, and needs no toolkit."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.explain import explain
from parity.explain.repro import write_repro

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 16)), jnp.float32)
W = jnp.asarray(np.random.default_rng(1).standard_normal((16, 16)), jnp.float32)


def norm(x, eps):
    variance = jnp.mean(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(variance + eps)


def theirs(x, w):
    h = norm(x, 1e-6) @ w
    return jax.nn.silu(h) + x


def test_a_script_shows_the_same_count_alone(tmp_path: Path) -> None:
    def ours(x, w):
        h = norm(x, 1e-2) @ w
        return jax.nn.silu(h) + x

    explanation = explain(ours, theirs, X, W, attribution=False)
    path = write_repro(explanation, tmp_path / "repro.py")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["repro.py", "repro.safetensors"]
    text = path.read_text()
    assert "import parity" not in text
    assert "return x * jax.lax.rsqrt(variance + eps)" in text
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "6 of 6 elements differ"


def test_no_script_where_nothing_departs(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nothing departs"):
        write_repro(explain(theirs, theirs, X, W), tmp_path / "repro.py")
    assert list(tmp_path.iterdir()) == []


def test_an_output_without_its_last_step_is_shown_alone(tmp_path: Path) -> None:
    explanation = explain(lambda x, w: x @ w, lambda x, w: x @ w + 2.5, X, W, attribution=False)
    path = write_repro(explanation, tmp_path / "repro.py")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "96 of 96 elements differ"


def test_no_script_where_an_argument_is_returned(tmp_path: Path) -> None:
    explanation = explain(lambda x, w: x, lambda x, w: x @ w, X, W, attribution=False)
    assert explanation.causes
    with pytest.raises(RequestError, match="nothing departs that has a counterpart"):
        write_repro(explanation, tmp_path / "repro.py")
