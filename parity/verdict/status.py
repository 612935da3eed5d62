"""A status for every tap, and the reason for it in words.

A tap whose bits differ is judged by what its own stage makes of the reference's values:

    rounding    the two formulas agree when nothing is rounded (`formula_share` at most 1), the
                difference stays within what two roundings can be apart (`bound_share` at most 1;
                parity/program/bounds.py derives it), and ours is no worse than the reference
                against the oracle (parity/arrays/accuracy.py says what worse is)
    diverged    any of these fails, or nothing was examined

and a tap at which nothing is made has the worst status of what was made before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from parity.arrays.metrics import Metrics
from parity.verdict.taps import StageError, Status, TapDiff

UNEXAMINED = "differs; whether by rounding alone was not examined"


def judged(taps: Sequence[TapDiff]) -> list[TapDiff]:
    """The taps of one column, in execution order, with their statuses and reasons."""
    result = []
    origin: dict[Status, str] = {}  # status -> the first tap at which such an error is made
    for tap in taps:
        if tap.status in ("nonfinite", "shape", "dtype"):
            origin.setdefault("diverged", tap.tap)
        if tap.status != "diverged":
            result.append(tap)
            continue
        own, reason = _own_status(tap)
        if own is not None:
            origin.setdefault(own, tap.tap)
        status: Status = "diverged" if "diverged" in origin else own or "rounding"
        if own is None:
            status, reason = _inherited(tap, origin)
        elif own != status:
            reason += f"; inherits from {origin['diverged']}"
        result.append(dataclasses.replace(tap, status=status, reason=reason))
    return result


def _own_status(tap: TapDiff) -> tuple[Status | None, str]:
    """Of what is made at this tap; None if nothing is."""
    assert tap.metrics is not None
    if _within(tap.metrics, tap.floor):
        return "rounding", "within the noise floor: a side differs as much from itself"
    if tap.stage is None:
        if tap.local is None or tap.local.mismatched:
            return "diverged", UNEXAMINED
        return None, ""
    if tap.stage.metrics.mismatched == 0:
        return None, ""
    status, why = _stage_status(tap.stage)
    return status, f"made here: {brief(tap.stage.metrics)}; {why}"


def _stage_status(stage: StageError) -> tuple[Status, str]:
    if stage.metrics.nonfinite:
        return "diverged", f"{stage.metrics.nonfinite} elements are Inf or NaN on a side"
    if stage.accuracy is None:
        return "diverged", "not held against an oracle"
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
    words = ["no bound known" if bound is None else f"{bound:.2g} of the rounding bound"]
    if stage.accuracy.ratio is not None:
        words.append(f"{stage.accuracy.ratio:.2f} of the reference's error")
    if stage.accuracy.worse:
        words.append("as its formula has on our kernels")
    return "rounding", ", ".join(words)


def _inherited(tap: TapDiff, origin: dict[Status, str]) -> tuple[Status, str]:
    """Status of a tap at which nothing is made."""
    local = tap.made_here
    assert local is not None
    nothing = f"on the reference's values 0 of {local.size} differ"
    if "diverged" in origin:
        return "diverged", f"inherited from {origin['diverged']}; {nothing}"
    if "rounding" in origin:
        return "rounding", f"inherited from {origin['rounding']}; {nothing}"
    return "diverged", f"{nothing}, nor at any tap before: look at what joins the stages"


def _within(metrics: Metrics, floor: Metrics | None) -> bool:
    if floor is None or not floor.mismatched:
        return False
    return metrics.mismatched <= floor.mismatched and metrics.max_abs <= floor.max_abs


def brief(metrics: Metrics) -> str:
    """A pair's figures in a few words."""
    ulp = "" if metrics.max_ulp is None else f", up to {metrics.max_ulp} ULP"
    return f"{metrics.mismatched} of {metrics.size} differ{ulp}"
