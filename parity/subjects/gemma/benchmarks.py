"""What `python -m parity.bench` measures; each returns its lines and its figures."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parity.commands.arguments import HOLDS, Parser, Progress
from parity.errors import RequestError

if TYPE_CHECKING:
    from parity.subjects.gemma.inputs import Inputs
    from parity.trace.frames import Frame, FrameSpec

BLOCKS = 20
_TAPS_LENGTH = 512
_ELEMENTS = 1 << 24


def bench_command(repeat: int, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    """Wall time of the command over its baseline's: the median of paired ratios."""
    ours, baseline = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = ["parity.compare", "--blocks", str(BLOCKS), "--no-variants", "--out"]
        for i in range(repeat):
            progress(f"command and baseline, pair {i + 1} of {repeat}")
            baseline.append(_process(["parity.bench", "--baseline"])[0])
            ours.append(_process([*command, f"{folder}/{i}"])[0])
    ratio = _ratio(ours, baseline)
    line = f"{ratio:.2f}x the baseline ({_seconds(ours)} against {_seconds(baseline)})"
    return [line], {"ratio": ratio, "command_s": ours, "baseline_s": baseline}


def bench_taps(repeat: int, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    """A 1B forward at T = 512 with all taps into memory, over the same without any."""
    import jax

    from jaxformer.model import forward
    from parity.trace.frames import MemorySink
    from parity.trace.recorder import compile_recording

    inputs = _inputs(["--seq-len", str(_TAPS_LENGTH)], progress)
    config, arguments = inputs.setting.config, (inputs.params, inputs.tokens)

    def run(params: Any, tokens: Any, *, tap: Any) -> Any:
        return forward(params, tokens, config, tap=tap)

    progress("taps: compiling")
    tapped = compile_recording(run, *arguments)
    plain = jax.jit(lambda params, tokens: forward(params, tokens, config))
    jax.block_until_ready(plain(*arguments))
    tapped.run(*arguments, sink=_Dropping())
    size = sum(spec.nbytes for spec in tapped.specs) / 1e9
    seconds: dict[str, list[float]] = {"plain": [], "dropped": [], "kept": []}
    for i in range(repeat):
        progress(f"taps: round {i + 1} of {repeat}")
        seconds["plain"].append(_time(lambda: jax.block_until_ready(plain(*arguments))))
        seconds["dropped"].append(_time(lambda: tapped.run(*arguments, sink=_Dropping())))
        seconds["kept"].append(_time(lambda: tapped.run(*arguments, sink=MemorySink())))
    lines, figures = [], {}
    for name in ("dropped", "kept"):
        figures[name] = _ratio(seconds[name], seconds["plain"])
        lines.append(
            f"{figures[name]:.2f}x a run without, frames {name} "
            f"({_seconds(seconds[name])} against {_seconds(seconds['plain'])})"
        )
    lines.append(f"      {len(tapped.specs)} taps, {size:.2f} GB, T = {_TAPS_LENGTH}")
    return lines, {"ratio": figures, "seconds": seconds}


class _Dropping:
    """A sink that keeps nothing: what is left is the cost of watching."""

    def begin(self, specs: Sequence[FrameSpec]) -> None: ...

    def put(self, frame: Frame) -> None: ...


def bench_injection(repeat: int, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    """All of 1B's blocks on given inputs, recorded and compared, over one recorded forward."""
    from parity.trace.frames import MemorySink
    from parity.verdict.diff import DiffSink

    inputs = _inputs([], progress)
    free, memory = inputs.ours(), MemorySink()
    progress("injection: compiling")
    free.run(memory)
    trace = memory.trace(free.manifest)
    injected = free.injected(trace, "blocks")
    injected.run(DiffSink(trace))
    local, forward = [], []
    for _ in range(repeat):
        forward.append(_time(lambda: free.run(_Dropping())))
        local.append(_time(lambda: injected.run(DiffSink(trace))))
    ratio = _ratio(local, forward)
    line = f"{ratio:.2f}x one forward ({_seconds(local)} against {_seconds(forward)})"
    return [line], {"ratio": ratio, "injected_s": local, "forward_s": forward}


def bench_metrics(repeat: int, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    """Throughput of `compare_arrays` on one core, for pairs that differ nowhere, rarely, mostly."""
    import ml_dtypes
    import numpy as np

    from parity.arrays.metrics import compare_arrays

    progress("metrics: making arrays")
    rng = np.random.default_rng(0)
    wide = rng.standard_normal(_ELEMENTS, dtype=np.float32)
    lines, figures = [], {}
    for dtype in (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)):
        reference = wide.astype(dtype)
        moved = (wide * np.float32(1.01)).astype(dtype)
        pairs = {
            "identical": reference.copy(),
            "1% differ": np.where(rng.random(_ELEMENTS) < 0.01, moved, reference),
            "all differ": moved,
        }
        for name, ours in pairs.items():
            fast, naive = [], []
            for _ in range(repeat):
                naive.append(_time(functools.partial(_naive, reference, ours)))
                fast.append(_time(functools.partial(compare_arrays, ours, reference)))
            speed = reference.nbytes / statistics.median(fast) / 1e9
            ratio = _ratio(naive, fast)
            lines.append(f"{dtype.name:8} {name:10} {speed:6.2f} GB/s, {ratio:5.1f}x naive")
            figures[f"{dtype.name}, {name}"] = {"gb_per_s": speed, "ratio": ratio}
    return lines, figures


def bench_memory(repeat: int, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    """Peak resident memory of the default command, at 20 blocks and at full depth."""
    del repeat
    lines, figures = [], {}
    for blocks in (str(BLOCKS), "all"):
        progress(f"memory: the 1B command, blocks {blocks}")
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/report"
            seconds, peak = _process(["parity.compare", "--blocks", blocks, "--out", out])
        lines.append(f"{peak / 1e9:.2f} GB at most, {seconds:.0f} s (--blocks {blocks}, 4 columns)")
        figures[blocks] = {"peak_bytes": peak, "seconds": seconds}
    return lines, figures


def _inputs(arguments: list[str], progress: Progress) -> Inputs:
    """Weights and tokens as the command would make them from these arguments."""
    from parity.commands.arguments import add_choice_arguments, parse_choice
    from parity.subjects.gemma.inputs import make_inputs
    from parity.subjects.gemma.setting import resolve

    parser = Parser()
    add_choice_arguments(parser)
    return make_inputs(resolve(parse_choice(parser.parse_args(arguments))), progress)


def _naive(a: Any, b: Any) -> tuple[Any, Any]:
    import numpy as np

    return (a != b).sum(), np.abs(a - b).max()


def _process(arguments: list[str]) -> tuple[float, int]:
    """Wall seconds and peak resident bytes of `python -m …`."""
    start = time.perf_counter()
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-m", *arguments], **quiet)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != HOLDS:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise RequestError(f"{' '.join(arguments)} ended with {child.returncode}: {last}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def _time(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _ratio(above: list[float], below: list[float]) -> float:
    """Median of the ratios of neighbours in time, which a drift of the machine moves least."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} s"


BENCHMARKS: dict[str, Callable[[int, Progress], tuple[list[str], dict[str, Any]]]] = {
    "command": bench_command,
    "taps": bench_taps,
    "injection": bench_injection,
    "metrics": bench_metrics,
    "memory": bench_memory,
}
