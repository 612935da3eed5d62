"""`python -m parity.explain`: the statement at which jaxformer departs from the reference."""

from __future__ import annotations

from pathlib import Path

from parity.commands.arguments import (
    DIFFERS,
    HOLDS,
    Parser,
    Progress,
    add_choice_arguments,
    parse_choice,
    run_command,
)
from parity.errors import RequestError
from parity.verdict.variants import OURS, parse_variant


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("parity.explain", _command, arguments)


def _command(arguments: list[str]) -> int:
    parser = Parser(
        prog="python -m parity.explain",
        description="Name the statement at which jaxformer departs from the official package, the "
        "choice of numerics that explains it, and write a script that shows it alone. Exit status: "
        "0 nothing departs, 1 something does, 2 the request was wrong.",
    )
    add_choice_arguments(parser)
    parser.add_argument(
        "--variant", metavar="NAME:field=value,…", help="explain jaxformer with these numerics"
    )
    parser.add_argument(
        "--repro", metavar="FILE.py", help="write a script that shows the first departure alone"
    )
    parsed = parser.parse_args(arguments)
    choice = parse_choice(parsed)
    variant = OURS if parsed.variant is None else parse_variant(parsed.variant)
    if choice.taps != "*":
        raise RequestError("explain needs every tap; leave --taps out")
    repro = None if parsed.repro is None else Path(parsed.repro)
    if repro is not None and (repro.suffix != ".py" or not repro.parent.is_dir()):
        raise RequestError(f"--repro must be a new .py file in an existing folder; got {repro}")
    progress = Progress()

    from parity.subjects.gemma.explaining import explain_variant
    from parity.subjects.gemma.gemma_package import import_gemma
    from parity.subjects.gemma.inputs import make_inputs
    from parity.subjects.gemma.ours import with_fields
    from parity.subjects.gemma.setting import resolve

    setting = resolve(choice)
    with_fields(setting.config, variant.fields)
    progress("official package: importing")
    import_gemma()
    explanation = explain_variant(make_inputs(setting, progress), variant, progress)
    if repro is not None:
        from parity.explain.repro import write_repro

        progress(f"wrote {write_repro(explanation, repro)}")
    print(explanation)
    return DIFFERS if explanation.causes or explanation.notes else HOLDS
