"""`python -m jaxformer`: generate text with a checkpoint, or measure how fast that is."""

from __future__ import annotations

import sys

from jaxformer.commands.arguments import Parser, run_command
from jaxformer.commands.bench import BENCH
from jaxformer.commands.generate import GENERATE
from jaxformer.commands.tune import TUNE
from jaxformer.machine import with_huge_pages

_COMMANDS = {"generate": GENERATE, "bench": BENCH, "tune": TUNE}


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("jaxformer", _command, arguments)


def _command(arguments: list[str]) -> int:
    parser = Parser(prog="python -m jaxformer", description="Gemma 3 in JAX, from scratch.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(_COMMANDS))
    for name, command in _COMMANDS.items():
        command.add_arguments(
            commands.add_parser(name, help=command.help, description=command.help)
        )
    parsed = parser.parse_args(arguments)
    return _COMMANDS[parsed.command].run(parsed)


if __name__ == "__main__":
    with_huge_pages()
    sys.exit(main())
