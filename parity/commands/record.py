"""`python -m parity.record`: write one run's trace, to compare with here or elsewhere."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from parity.commands.arguments import (
    HOLDS,
    Parser,
    Progress,
    add_choice_arguments,
    parse_choice,
    run_command,
)
from parity.errors import RequestError

if TYPE_CHECKING:
    from parity.sides.function import Source

_SOURCES = ("jaxformer", "flax", "hf")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.record", _command, arguments)


def _command(arguments: list[str]) -> int:
    parser = Parser(prog="python -m parity.record", description=__doc__)
    add_choice_arguments(parser)
    parser.add_argument(
        "--source", default="jaxformer", metavar="|".join(_SOURCES), help="what to record"
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="a new folder for the trace")
    parsed = parser.parse_args(arguments)
    choice = parse_choice(parsed)
    if parsed.source not in _SOURCES:
        raise RequestError(f"--source must be one of {', '.join(_SOURCES)}; got {parsed.source!r}")
    progress = Progress()

    from parity.subjects.gemma.inputs import make_inputs
    from parity.subjects.gemma.references import opened
    from parity.subjects.gemma.setting import resolve
    from parity.trace.disk import DiskSink

    setting = resolve(choice)
    if parsed.source == "flax":
        from parity.subjects.gemma.gemma_package import import_gemma

        progress("official package: importing")
        import_gemma()
    out = Path(parsed.out)
    existed = out.exists()
    DiskSink(out, setting.manifest)  # refuses an unusable folder before any work is done
    try:
        inputs = make_inputs(setting, progress)
        with contextlib.ExitStack() as stack:
            source: Source = inputs.ours()
            if parsed.source != "jaxformer":
                source = stack.enter_context(
                    opened(parsed.source, inputs, certify=False, progress=progress)
                )
            progress(f"{source.label}: preparing")
            specs = source.prepare()
            progress(f"{source.label}: running, {len(specs)} taps")
            with DiskSink(out, source.manifest) as sink:
                source.run(sink)
    except BaseException:
        if not existed:  # and unless frames were written, which stay
            with contextlib.suppress(OSError):
                out.rmdir()
        raise
    size = sum(spec.nbytes for spec in specs)
    progress(f"wrote {out}: {len(specs)} frames, {size / 1e6:,.1f} MB")
    print(out)
    return HOLDS
