"""Whoever wants to know how far a run is hears of every frame of every side."""

import jax.numpy as jnp
import pytest

from parity.sides.function import FunctionSide
from parity.trace.frames import MemorySink
from parity.trace.manifest import Manifest
from parity.trace.progress import counted
from parity.verdict.plan import Candidate
from parity.verdict.run import compare_candidate, recorded


def source() -> FunctionSide:
    def run(x, *, tap):
        return tap("b", tap("a", x) + 1)

    return FunctionSide("test", run, (jnp.ones(3),), Manifest("test"))


class Watch:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, message: str) -> None:
        self.heard.append(message)

    def frames(self, done: int, expected: int) -> None:
        self.heard.append(f"{done}/{expected}")


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_frames_of_both_sides_are_counted(memory_limit: int) -> None:
    watch = Watch()
    with recorded(source(), watch, memory_limit) as trace:
        compare_candidate(trace, {}, Candidate("ours", {}, source), watch)
    assert watch.heard == [
        "test: preparing",
        "test: running, 2 taps, 0 MB",
        *("0/2", "1/2", "2/2"),
        "ours: compiling",
        "ours: running and comparing, 2 taps",
        *("0/2", "1/2", "2/2"),
    ]


def test_a_plain_callback_costs_nothing() -> None:
    sink = MemorySink()
    assert counted(sink, print) is sink
