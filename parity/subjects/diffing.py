"""`parity.diff`: any two functions held against each other, and the plan of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parity.errors import RequestError

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
ALLOWED: tuple[Status, ...] = ("identical", "rounding", "unjudged")


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
    explainers = {}
    if not isinstance(reference, Trace):
        explainers["ours"] = functools.partial(explained_functions, ours, reference, inputs)
    unknown = [word for word in allow if word not in ALLOWED]
    if unknown:
        raise RequestError(f"allow takes {', '.join(ALLOWED)}; got {unknown[0]!r}")
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
        explainers=explainers,
    )


def explained_functions(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    progress: Progress,
) -> Explanation:
    from parity.explain.explanation import causes

    progress("replaying both functions")
    return causes(ours, reference, *inputs)


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
