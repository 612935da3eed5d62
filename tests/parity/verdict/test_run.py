"""Running and comparing: large references go to disk, and nothing changes by that."""

import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.sides.function import FunctionSide
from parity.trace.manifest import Manifest
from parity.verdict.plan import Candidate
from parity.verdict.run import certificate, compare_candidate, recorded

X = jnp.asarray(np.random.default_rng(0).standard_normal((32, 32)), jnp.bfloat16)


def source(factor: float = 1.0, select: str = "*") -> FunctionSide:
    def run(x, *, tap):
        return tap("b", jnp.tanh(tap("a", x @ x)) * factor)

    return FunctionSide("test", run, (X,), Manifest("test"), select=select)


def said(messages: list[str]):
    return messages.append


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_a_reference_on_disk_is_as_good_as_one_in_memory(memory_limit: int) -> None:
    messages: list[str] = []
    candidates = [
        Candidate("ours", {}, source),
        Candidate("double", {"factor": 2}, lambda: source(2.0)),
    ]
    with recorded(source(), said(messages), memory_limit) as reference:
        columns, sources = zip(
            *(compare_candidate(reference, {}, c, said(messages)) for c in candidates), strict=True
        )
    ours, double = columns
    assert ours.first_divergence is None
    assert ours.compared == 2
    assert double.first_divergence is not None
    assert double.first_divergence.tap == "b"
    proof = certificate(sources[0], said(messages))
    assert proof is not None
    assert proof.holds
    assert "ours: running and comparing, 2 taps" in messages


def test_candidates_without_a_common_tap_are_refused() -> None:
    candidate = Candidate("ours", {}, lambda: source(select="b"))
    with (
        recorded(source(select="a"), said([])) as reference,
        pytest.raises(RequestError, match="no tap in common"),
    ):
        compare_candidate(reference, {}, candidate, said([]))
