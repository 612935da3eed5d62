"""`python -m parity.bench`: what parity costs, as ratios measured side by side in one run.

command   the whole command without variants, over a program that only builds the weights and
          runs the official forward; both as processes of their own, alternating
taps      a run with all taps over one without, at T = 512
injection all of 1B's blocks run on given inputs, over one forward, both recorded
metrics   comparing arrays in memory, over `(a != b).sum()` with the largest absolute error on
          bfloat16 NumPy arrays; throughput counts the bytes of one trace of the pair
memory    peak resident memory of the 1B command with its default variants
"""

from __future__ import annotations

import json
from typing import Any

from parity.commands.arguments import HOLDS, Parser, Progress, run_command
from parity.errors import RequestError


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.bench", _command, arguments)


def _command(arguments: list[str]) -> int:
    from parity.subjects.gemma.benchmarks import BENCHMARKS, run_baseline
    from parity.subjects.gemma.subject import plainly

    parser = Parser(prog="python -m parity.bench", description="What parity costs, as ratios.")
    parser.add_argument("--only", metavar="|".join(BENCHMARKS), help="one of them (default: all)")
    parser.add_argument("--repeat", type=int, default=3, help="pairs per ratio (default: 3)")
    parser.add_argument("--baseline", action="store_true", help="run the command's baseline")
    parsed = parser.parse_args(arguments)
    if parsed.baseline:
        with plainly():
            run_baseline()
        return HOLDS
    if parsed.only is not None and parsed.only not in BENCHMARKS:
        raise RequestError(f"--only must be one of {', '.join(BENCHMARKS)}; got {parsed.only!r}")
    if parsed.repeat < 1:
        raise RequestError(f"--repeat must be at least 1; got {parsed.repeat}")
    progress = Progress()
    figures: dict[str, Any] = {}
    for name, benchmark in BENCHMARKS.items():
        if parsed.only in (None, name):
            with plainly():
                lines, figures[name] = benchmark(parsed.repeat, progress)
            print("\n".join(f"{name:9} {line}" for line in lines), flush=True)
    print(json.dumps(figures))
    return HOLDS
