"""The Subject protocol: something to compare, as the commands ask for it.

A subject has its own arguments, and makes of them what the pipeline runs on. Each of its methods
checks what was asked for at once, and returns a function that does the work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from parity.explain.explanation import Explanation
    from parity.sides.side import Side
    from parity.verdict.plan import Plan

Progress = Callable[[str], None]


class Subject(Protocol):
    """What is held against what: our side, its references, their inputs, what may be varied.

    A class without arguments that follows this protocol is made a subject by an entry point of
    the group `parity.subjects`; `parity compare NAME` then asks for it. Its module imports
    nothing heavy: `--help` loads it.
    """

    @property
    def help(self) -> str:
        """What is compared with what, in a line or two."""
        ...

    @property
    def examples(self) -> str:
        """Command lines, one a line, for the end of `parity compare NAME --help`."""
        ...

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The arguments of every command: what runs on which input."""
        ...

    def add_compare_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Those of compare alone: references, and what is varied."""
        ...

    def add_record_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Those of record alone: which side."""
        ...

    def add_explain_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Those of explain alone."""
        ...

    def compared(self, parsed: argparse.Namespace) -> Callable[[Progress], Plan]:
        """What compare is to run.

        Raises:
          RequestError: by this, or by what it returns: it can't be done.
        """
        ...

    def recorded(
        self, parsed: argparse.Namespace
    ) -> Callable[[Progress], AbstractContextManager[Side]]:
        """The side that record is to run.

        Raises:
          RequestError: by this, or by what it returns: it can't be done.
        """
        ...

    def explained(self, parsed: argparse.Namespace) -> Callable[[Progress], Explanation]:
        """Where ours departs from the reference.

        Raises:
          RequestError: by this, or by what it returns: it can't be done.
        """
        ...
