"""Any two functions as a subject of the commands."""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import RequestError
from parity.subjects.checks import one_of
from parity.subjects.diffing import ALLOWED, explained_functions, function_plan
from parity.subjects.loading import load_function, load_inputs

if TYPE_CHECKING:
    from parity.explain.explanation import Explanation
    from parity.sides.side import Side
    from parity.trace.frames import Trace
    from parity.verdict.plan import Plan

Progress = Callable[[str], None]


class FunctionSubject:
    """`file.py:function` or `module:function` on a command line; see Subject."""

    examples = """\
  python -m parity.compare my_port.py:ours --reference my_port.py:theirs \\
      --inputs my_port.py:inputs
  python -m parity.record my_port.py:theirs --inputs my_port.py:inputs \\
      --out golden
  python -m parity.compare my_port.py:ours --reference golden \\
      --inputs my_port.py:inputs"""

    def __init__(self, word: str) -> None:
        self._word = word
        self.help = f"Run {word} beside a reference on the same inputs."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--inputs",
            metavar="FILE.py:NAME",
            required=True,
            help="what the functions are called with: a function that returns a tuple of "
            "arguments, or the tuple",
        )

    def add_compare_arguments(self, parser: argparse.ArgumentParser) -> None:
        _add_reference(parser, ", or a trace folder")
        _add_run_arguments(parser)
        parser.add_argument(
            "--name",
            metavar="OURS=THEIRS",
            action="append",
            default=[],
            help="pair a tap with one of another name; {} stands for a number; repeatable",
        )
        parser.add_argument(
            "--allow",
            metavar="|".join(ALLOWED),
            default="rounding",
            help="which differences are parity too: none, those of rounding (default), or "
            "unjudged ones as well",
        )

    def add_record_arguments(self, parser: argparse.ArgumentParser) -> None:
        _add_run_arguments(parser)

    def add_explain_arguments(self, parser: argparse.ArgumentParser) -> None:
        _add_reference(parser, "")

    def compared(self, parsed: argparse.Namespace) -> Callable[[Progress], Plan]:
        """See Subject."""
        one_of("--numerics", parsed.numerics, ("default", "strict"))
        one_of("--allow", parsed.allow, ALLOWED)
        names = dict(_pair(text) for text in parsed.name)
        allow = ALLOWED[: ALLOWED.index(parsed.allow) + 1]
        ours = load_function(self._word, "the function")
        reference = _reference(parsed.reference)
        inputs = load_inputs(parsed.inputs)

        def plan(progress: Progress) -> Plan:
            progress("tracing both functions")
            return function_plan(
                ours,
                reference,
                inputs,
                names=names,
                taps=parsed.taps,
                allow=allow,
                numerics=parsed.numerics,
                reference_label=parsed.reference,
            )

        return plan

    def recorded(
        self, parsed: argparse.Namespace
    ) -> Callable[[Progress], contextlib.AbstractContextManager[Side]]:
        """See Subject."""
        one_of("--numerics", parsed.numerics, ("default", "strict"))
        function = load_function(self._word, "the function")
        inputs = load_inputs(parsed.inputs)

        @contextlib.contextmanager
        def side(progress: Progress) -> Iterator[Side]:
            from parity.sides.callables import call_of
            from parity.sides.function import function_side

            progress(f"tracing {self._word}")
            call = call_of(function, *inputs)
            yield function_side(
                call, inputs, self._word, select=parsed.taps, numerics=parsed.numerics
            )

        return side

    def explained(self, parsed: argparse.Namespace) -> Callable[[Progress], Explanation]:
        """See Subject."""
        ours = load_function(self._word, "the function")
        reference = load_function(parsed.reference, "--reference")
        inputs = load_inputs(parsed.inputs)

        return functools.partial(explained_functions, ours, reference, inputs)


def _add_reference(parser: argparse.ArgumentParser, more: str) -> None:
    parser.add_argument(
        "--reference",
        metavar="FILE.py:FUNCTION",
        required=True,
        help=f"what to hold it against: a function of the same arguments{more}",
    )


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--taps", metavar="GLOB,…", default="*", help="which taps (all)")
    parser.add_argument(
        "--numerics",
        default="default",
        help="default|strict: as users compile, or without excess precision",
    )


def _pair(text: str) -> tuple[str, str]:
    own, equals, theirs = (part.strip() for part in text.partition("="))
    if not (own and equals and theirs):
        raise RequestError(f"--name must read OURS=THEIRS; got {text!r}")
    return own, theirs


def _reference(word: str) -> Callable[..., Any] | Trace:
    if Path(word).is_dir():
        from parity.trace.disk import load_trace

        return load_trace(Path(word))
    if ":" not in word:
        raise RequestError(
            f"--reference must be file.py:function, module:function or a trace folder; got {word!r}"
        )
    return load_function(word, "--reference")
