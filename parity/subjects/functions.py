"""Any two functions as a subject: of the commands, and of `parity.diff`."""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import RequestError
from parity.subjects.checks import one_of
from parity.subjects.loading import load_function, load_inputs

if TYPE_CHECKING:
    from parity.explain.explanation import Explanation
    from parity.program.oracle import OracleDType
    from parity.report.readable import ReadableComparison
    from parity.sides.side import Side
    from parity.trace.frames import Trace
    from parity.trace.recorder import NumericsMode
    from parity.verdict.plan import Inject, Plan
    from parity.verdict.taps import Status

Progress = Callable[[str], None]
_ALLOWED: tuple[Status, ...] = ("identical", "rounding", "unjudged")


def diff(
    ours: Callable[..., Any],
    reference: Callable[..., Any] | Trace,
    *inputs: Any,
    names: Mapping[str, str] | None = None,
    taps: str = "*",
    allow: Status | Sequence[Status] = ("rounding",),
    numerics: NumericsMode = "default",
    inject: Inject = "auto",
    oracle: OracleDType | None = "float64",
    progress: Progress = lambda _: None,
) -> ReadableComparison:
    """Run both on the same inputs, compare every tap and every output, and judge what differs.

    Args:
      ours, reference: callables of pytrees of arrays: functions, `flax.linen` modules' `apply`,
        `flax.nnx` or equinox modules; a keyword argument `tap` is given to those that take one.
        The reference may be a trace of another run on these inputs.
      names: our taps' names to those of the reference, where they have others; `{}` in both stands
        for a number.
      taps: comma-separated glob patterns of the taps to compare.
      allow: statuses of differences that are parity too: `rounding`, `unjudged`.
      numerics: how both are compiled: as users do, or with each operation rounded where it is
        written (`strict`).
      inject: whether pieces of both run on the reference's values too: `auto` where they differ.
      oracle: dtype of the oracle that judges; None for none.
      progress: is told what is being done.

    Returns:
      A Comparison: `.holds`, print it, `.write(folder)`.

    Raises:
      RequestError: a function can't be run, returns another structure, or has no tap in common
        with the other; a trace of other inputs.
    """
    from parity.report.readable import ReadableComparison
    from parity.verdict.plan import Options
    from parity.verdict.runner import compare

    plan = function_plan(
        ours, reference, inputs, names=names, taps=taps, allow=allow, numerics=numerics
    )
    comparison, _ = compare(plan, Options(inject=inject, oracle=oracle), progress)
    return ReadableComparison.of(comparison)


def function_plan(
    ours: Callable[..., Any],
    reference: Callable[..., Any] | Trace,
    inputs: Sequence[Any],
    *,
    names: Mapping[str, str] | None = None,
    taps: str = "*",
    allow: Status | Sequence[Status] = ("rounding",),
    numerics: NumericsMode = "default",
    reference_label: str = "",
) -> Plan:
    """What `diff` runs; see there.

    Args:
      reference_label: what messages call the reference.
    """
    from parity.sides.callables import call_of
    from parity.sides.function import frame_names, function_side, output_paths
    from parity.sides.naming import renaming
    from parity.sides.stored import StoredSide
    from parity.trace.frames import Trace
    from parity.verdict.plan import Candidate, Held, Plan

    allow = (allow,) if isinstance(allow, str) else allow
    unknown = [word for word in allow if word not in _ALLOWED]
    if unknown:
        raise RequestError(f"allow takes {', '.join(_ALLOWED)}; got {unknown[0]!r}")
    call = call_of(ours, *inputs)
    side = functools.partial(function_side, inputs=inputs, select=taps, numerics=numerics)
    own = side(call, label="ours")
    theirs: Side
    if isinstance(reference, Trace):
        kept = reference.matching(taps)
        theirs = StoredSide(kept, label=reference_label or "the stored trace")
        there = [spec.name for spec in kept.specs]
    else:
        other = call_of(reference, *inputs)
        check_outputs(output_paths(call), output_paths(other))
        theirs = running = side(other, label="the reference")
        there = frame_names(running) if names else []
    if names:
        rename = renaming(names, frame_names(own), there)
        own = side(call, label="ours", rename=rename)

    @contextlib.contextmanager
    def opened() -> Iterator[Side]:
        yield theirs

    return Plan(
        own.manifest,
        [Held(opened, [Candidate("ours", {}, lambda: own)], ours=lambda: own)],
        facts={"model": own.manifest.source},
        allow=frozenset(word for word in allow if word != "identical"),
        lacking="not_compared",
    )


def check_outputs(ours: Sequence[str], reference: Sequence[str]) -> None:
    """Functions that return other structures don't compute the same kind of thing.

    Raises:
      RequestError: naming both.
    """
    if list(ours) != list(reference):
        raise RequestError(
            f"the two return other structures: ours {_shown(ours)}, the reference "
            f"{_shown(reference)}; return the same, or wrap one"
        )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"[{', '.join(names[:4])}{more}]"


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
            metavar="|".join(_ALLOWED),
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
        one_of("--allow", parsed.allow, _ALLOWED)
        names = dict(_pair(text) for text in parsed.name)
        allow = _ALLOWED[: _ALLOWED.index(parsed.allow) + 1]
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

        def explanation(progress: Progress) -> Explanation:
            from parity.explain.explanation import causes

            progress("replaying both functions")
            return causes(ours, reference, *inputs)

        return explanation


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
