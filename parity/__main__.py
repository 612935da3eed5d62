"""`parity COMMAND`, and `python -m parity COMMAND`: the door to every command."""

from __future__ import annotations

import importlib
import sys

from parity.commands.arguments import HOLDS, WRONG_REQUEST

# command -> the module that has its `main`, and what it is for
_COMMANDS = {
    "compare": ("parity.commands.compare", "a model beside its reference, tap by tap"),
    "explain": ("parity.commands.explain", "the statement at which a model departs"),
    "record": ("parity.commands.record", "the trace of one run, in a folder"),
    "bench": ("parity.commands.bench", "what parity costs, as ratios"),
    "studies": ("parity.subjects.gemma.studies.command", "the case studies, made anew"),
}
_USAGE = "usage: parity COMMAND [arguments]; parity COMMAND --help says which"


def main(arguments: list[str] | None = None) -> int:
    """The command that the first argument names; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in _COMMANDS:
        module, _ = _COMMANDS[given[0]]
        status: int = importlib.import_module(module).main(given[1:])
        return status
    if given and given[0] not in ("-h", "--help"):
        named = ", ".join(_COMMANDS)
        print(f"parity: error: no command {given[0]!r}; there are {named}", file=sys.stderr)
        return WRONG_REQUEST
    print(_USAGE)
    for name, (_, words) in _COMMANDS.items():
        print(f"  {name:8} {words}")
    return HOLDS if given else WRONG_REQUEST


if __name__ == "__main__":
    sys.exit(main())
