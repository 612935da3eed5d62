"""The noise floor: zero where a side repeats itself, the largest self-difference where not."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from cases import quiet

from parity.arrays.metrics import Metrics, compare_arrays
from parity.errors import RequestError
from parity.sides.function import FunctionSide
from parity.sides.recording import record_trace
from parity.trace.disk import load_trace
from parity.trace.manifest import Manifest
from parity.verdict.noise import floor_here, floor_in_processes, floor_line, widest

SMALL_RUN = ["--model", "tiny", "--blocks", "1", "--source", "flax"]


def source() -> FunctionSide:
    def run(x, *, tap):
        return tap("b", tap("a", x) + 1)

    return FunctionSide("test", run, (jnp.ones(4),), Manifest("test"))


def test_a_side_that_repeats_itself_has_no_noise() -> None:
    first = record_trace(source().fn, jnp.ones(4))
    floor = floor_here(source(), first, 2, quiet)
    assert {name: metrics.mismatched for name, metrics in floor.items()} == {"a": 0, "b": 0}
    assert floor_line(floor, 2, "cpu") == (
        "noise floor: 0 at all 2 taps (2 more runs of each side, cpu)"
    )


def test_the_largest_self_difference_is_the_floor() -> None:
    """Each run is given another input, as if the device were unsteady."""
    first = record_trace(source().fn, jnp.ones(4))
    unsteady = source()
    steps = iter([1.0, 1.5, 1.25])

    def run_on_another_input(sink):
        unsteady.args = (jnp.full(4, next(steps)),)
        FunctionSide.run(unsteady, sink)

    unsteady.run = run_on_another_input  # type: ignore[method-assign]
    floor = floor_here(unsteady, first, 3, quiet)
    assert floor["a"].max_abs == 0.5
    assert floor_line(floor, 3, "gpu").startswith(
        "noise floor: 2 of 2 taps differ from run to run (3 more runs of each side, gpu); the most"
    )


@pytest.mark.matrix
def test_fresh_processes_record_what_this_one_does(tmp_path) -> None:
    from parity.commands import record as record_command

    assert record_command.main([*SMALL_RUN, "--out", str(tmp_path / "t")]) == 0
    first = load_trace(tmp_path / "t")
    floor = floor_in_processes(SMALL_RUN, first, 1, quiet)
    assert len(floor) == len(first.specs) == 21
    assert {metrics.mismatched for metrics in floor.values()} == {0}
    assert os.listdir(tmp_path) == ["t"]


def test_a_process_that_fails_says_why() -> None:
    first = record_trace(source().fn, jnp.ones(4))
    with pytest.raises(RequestError, match=r"recording in a fresh process failed: .*--model must"):
        floor_in_processes(["--model", "none"], first, 1, quiet)


def test_widest_keeps_the_larger_of_each() -> None:
    small = compare_arrays(np.float32([1.5]), np.float32([1]))
    large = compare_arrays(np.float32([3]), np.float32([1]))
    none = Metrics(size=1)
    assert widest({"a": small, "b": large}, {"a": large, "b": small, "c": none}) == {
        "a": large,
        "b": large,
        "c": none,
    }
