"""`python -m parity.record`: the trace of one run, to compare with here or elsewhere."""

from __future__ import annotations

import contextlib
from pathlib import Path

from parity.commands.arguments import ABOUT, HOLDS, Parser, Progress, run_command
from parity.subjects.registry import chosen


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.record", _command, arguments)


def _command(arguments: list[str]) -> int:
    subject, rest = chosen(arguments)
    parser = Parser(
        prog="python -m parity.record",
        usage=f"python -m parity.record {ABOUT}",
        description="Write one run's trace, to compare with here or elsewhere.",
    )
    subject.add_arguments(parser)
    subject.add_record_arguments(parser)
    parser.add_argument("--out", metavar="DIR", required=True, help="a new folder for the trace")
    parsed = parser.parse_args(rest)
    progress = Progress()
    opened = subject.recorded(parsed)

    from parity.trace.disk import DiskSink, check_free

    out = Path(parsed.out)
    existed = out.exists()
    check_free(out)  # refuses an unusable folder before any work is done
    try:
        with opened(progress) as side:
            progress(f"{side.label}: preparing")
            specs = side.prepare()
            progress(f"{side.label}: running, {len(specs)} taps")
            with DiskSink(out, side.manifest) as sink:
                side.run(sink)
    except BaseException:
        if not existed:  # and unless frames were written, which stay
            with contextlib.suppress(OSError):
                out.rmdir()
        raise
    size = sum(spec.nbytes for spec in specs)
    progress(f"wrote {out}: {len(specs)} frames, {size / 1e6:,.1f} MB")
    print(out)
    return HOLDS
