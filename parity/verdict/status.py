"""A status for every tap, and the reason for it in words.

A tap whose bits differ is judged by what its own stage makes of the reference's values:

    rounding    the two formulas agree when nothing is rounded (`formula_share` at most 1), the
                difference stays within what two roundings can be apart (`bound_share` at most 1;
                parity/program/bounds.py and parity/verdict/formula.py derive it), and ours is no
                worse than the reference against the oracle (parity/arrays/accuracy.py says what
                worse is)
    diverged    one of the three fails
    unjudged    not decided: no oracle was asked, neither formula nor bound is known, or the stage
                was not run; the reason says what would decide it

and a tap at which nothing is made has the worst status of what was made before it.

Where nothing was made before it either, it is rounding if both sides ran as they are, and not
pieces that stand for parts of them. Both have the same bits at every tap before, and make the same
bits of these values when they run on them: their formulas agree there. What is left is that a
compiler keeps a value between two taps unrounded where both are compiled into one, as XLA does
within its fusions; a loop, a call or another order of statements moves that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from parity.arrays.metrics import Metrics
from parity.verdict.taps import StageError, Status, TapDiff

UNEXAMINED = "differs; not examined on the reference's values, which inject=taps would do"
# From what excuses nothing to what excuses most: the worst that was made is what is inherited.
_WORST: tuple[Status, ...] = ("diverged", "unjudged", "rounding")


def judged(taps: Sequence[TapDiff]) -> list[TapDiff]:
    """The taps of one column, in execution order, with their statuses and reasons."""
    result = []
    origin: dict[Status, str] = {}  # status -> the first tap at which such an error is made
    for tap in taps:
        if tap.status in ("nonfinite", "shape", "dtype"):
            origin.setdefault("diverged", tap.tap)
        if tap.status != "unjudged":
            result.append(tap)
            continue
        own, reason = _own_status(tap)
        if own is None and not origin:
            own, reason = _compiled_together(tap)
        if own is not None:
            origin.setdefault(own, tap.tap)
        status: Status = next(worst for worst in _WORST if worst in origin)
        if own is None:
            reason = f"inherited from {origin[status]}; {_nothing(tap)}"
        elif own != status:
            reason += f"; inherits from {origin[status]}"
        result.append(dataclasses.replace(tap, status=status, reason=reason))
    return result


def _own_status(tap: TapDiff) -> tuple[Status | None, str]:
    """Of what is made at this tap; None if nothing is."""
    assert tap.metrics is not None
    if _within(tap.metrics, tap.floor):
        return "rounding", "within the noise floor: a side differs as much from itself"
    if tap.stage is None:
        if tap.local is None or tap.local.mismatched:
            return "unjudged", UNEXAMINED
        return None, ""
    if tap.stage.metrics.mismatched == 0:
        return None, ""
    status, why = _stage_status(tap.stage)
    return status, f"made here: {brief(tap.stage.metrics)}; {why}"


def _stage_status(stage: StageError) -> tuple[Status, str]:
    if stage.metrics.nonfinite:
        return "diverged", f"{stage.metrics.nonfinite} elements are Inf or NaN on a side"
    if stage.accuracy is None:
        return "unjudged", (
            "not held against an oracle, which oracle=float64 would do for a reference that runs"
        )
    formula, bound = stage.formula_share, stage.bound_share
    if formula is not None and not formula <= 1:
        return "diverged", (
            f"another formula: unrounded, the two lie {formula:.3g} times farther apart "
            "than rounding can put them"
        )
    if bound is not None and not bound <= 1:
        return "diverged", f"{bound:.3g} times the bound of a reordered rounding"
    ratio = stage.accuracy.ratio_where
    if stage.less_accurate:
        return "diverged", f"less accurate: {ratio:.3g} times the reference's error"
    if bound is None and formula is None:
        return "unjudged", _undecided(stage)
    words = ["no bound known" if bound is None else f"{bound:.2g} of the rounding bound"]
    if stage.accuracy.ratio is not None:
        words.append(f"{stage.accuracy.ratio:.2f} of the reference's error")
    if stage.accuracy.worse:
        words.append("as its formula has on our kernels")
    return "rounding", ", ".join(words)


def _undecided(stage: StageError) -> str:
    """Why neither bound nor formula is known, and what would decide it."""
    if not stage.unruled:
        return "neither bound nor unrounded formula is known; a tap in between would tell more"
    named = ", ".join(stage.unruled[:3]) + (", …" if len(stage.unruled) > 3 else "")
    return f"no error rule for {named}; a tap before and after it would keep the rest judged"


def _compiled_together(tap: TapDiff) -> tuple[Status, str]:
    """Of a tap that differs though nothing is made at it, nor at any tap before."""
    reason = (
        f"{_nothing(tap)}, nor at any tap before: it comes of what is compiled together, which "
        "numerics=strict would show"
    )
    if tap.stage is not None and tap.stage.whole:
        return "rounding", reason
    return "unjudged", f"{reason}, or the pieces aren't what ran"


def _nothing(tap: TapDiff) -> str:
    local = tap.made_here
    assert local is not None
    return f"on the reference's values 0 of {local.size} differ"


def _within(metrics: Metrics, floor: Metrics | None) -> bool:
    if floor is None or not floor.mismatched:
        return False
    return metrics.mismatched <= floor.mismatched and metrics.max_abs <= floor.max_abs


def brief(metrics: Metrics) -> str:
    """A pair's figures in a few words."""
    ulp = "" if metrics.max_ulp is None else f", up to {metrics.max_ulp} ULP"
    return f"{metrics.mismatched} of {metrics.size} differ{ulp}"
