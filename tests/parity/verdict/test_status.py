"""Every status, and the words that go with it."""

import dataclasses

import numpy as np
import pytest

from parity.arrays.accuracy import Accuracy
from parity.arrays.metrics import Metrics, compare_arrays
from parity.verdict.diff import diff_arrays
from parity.verdict.status import UNEXAMINED, judged
from parity.verdict.taps import StageError, TapDiff

SAME = compare_arrays(np.float32([1, 2]), np.float32([1, 2]))
OTHER = compare_arrays(np.float32([1, 2.5]), np.float32([1, 2]))
AS_GOOD = Accuracy(0.1, 0.1, 1.0, 1.0, 5, 5)
WORSE = Accuracy(0.3, 0.1, 3.0, 3.0, 1000, 0)


def differing(name: str, stage: StageError | None = None, **changes) -> TapDiff:
    free = diff_arrays(name, np.float32([1, 2.5]), np.float32([1, 2]))
    return dataclasses.replace(free, stage=stage, **changes)


def made(**figures) -> StageError:
    given = {"bound_share": 0.5, "formula_share": 0.1, "accuracy": AS_GOOD, **figures}
    return StageError(OTHER, **given)


NOTHING = StageError(SAME)


def statuses(*taps: TapDiff) -> list[str]:
    return [tap.status for tap in judged(taps)]


def test_rounding_needs_all_three() -> None:
    (tap,) = judged([differing("a", made())])
    assert tap.status == "rounding"
    assert tap.reason == (
        "made here: 1 of 2 differ, up to 2097152 ULP; 0.5 of the rounding bound, "
        "1.00 of the reference's error"
    )


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"formula_share": 7.0}, "another formula: unrounded, the two lie 7 times farther apart"),
        ({"formula_share": float("nan")}, "another formula"),
        ({"bound_share": 3.0}, "3 times the bound of a reordered rounding"),
        ({"accuracy": WORSE}, "less accurate: 3 times the reference's error"),
    ],
)
def test_each_alone_is_divergence(figures: dict, reason: str) -> None:
    (tap,) = judged([differing("a", made(**figures))])
    assert tap.status == "diverged"
    assert reason in tap.reason


def test_a_tap_at_which_nothing_is_made_says_so_and_inherits() -> None:
    first, second = judged([differing("a", made()), differing("b", NOTHING)])
    assert (first.status, second.status) == ("rounding", "rounding")
    assert second.reason == "inherited from a; on the reference's values 0 of 2 differ"


def test_divergence_is_inherited_over_rounding() -> None:
    taps = [
        differing("a", made()),
        differing("b", made(formula_share=9.0)),
        differing("c", NOTHING),
        differing("d", made()),
    ]
    assert statuses(*taps) == ["rounding", "diverged", "diverged", "diverged"]
    assert judged(taps)[2].reason.startswith("inherited from b;")
    assert judged(taps)[3].reason.endswith("; inherits from b")


def test_what_no_stage_makes_of_equal_values_is_the_compilers_rounding() -> None:
    same = diff_arrays("a", np.float32([1, 2]), np.float32([1, 2]))
    whole = dataclasses.replace(NOTHING, whole=True)
    taps = judged([same, differing("b", whole), differing("c", whole)])
    assert [tap.status for tap in taps] == ["identical", "rounding", "rounding"]
    assert "it comes of what is compiled together" in taps[1].reason
    assert taps[2].reason.startswith("inherited from b;")


def test_of_pieces_that_stand_for_parts_it_is_unjudged() -> None:
    (tap,) = judged([differing("a", NOTHING)])
    assert tap.status == "unjudged"
    assert tap.reason.endswith("or the pieces aren't what ran")


def test_what_no_stage_makes_after_what_nothing_decides_is_unjudged() -> None:
    assert statuses(differing("a"), differing("b", NOTHING)) == ["unjudged", "unjudged"]


def test_unexamined_is_not_excused() -> None:
    (tap,) = judged([differing("a")])
    assert (tap.status, tap.reason) == ("unjudged", UNEXAMINED)


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"accuracy": None}, "not held against an oracle, which oracle=float64 would do"),
        ({"bound_share": None, "formula_share": None}, "neither bound nor unrounded formula"),
        (
            {"bound_share": None, "formula_share": None, "unruled": ("foo", "bar")},
            "no error rule for foo, bar; a tap before and after it",
        ),
    ],
)
def test_what_nothing_decides_is_unjudged(figures: dict, reason: str) -> None:
    (tap,) = judged([differing("a", made(**figures))])
    assert tap.status == "unjudged"
    assert reason in tap.reason


def test_a_less_accurate_tap_is_diverged_though_no_rule_bounds_it() -> None:
    unknown = {"bound_share": None, "formula_share": None}
    (tap,) = judged([differing("a", made(accuracy=WORSE, **unknown))])
    assert tap.status == "diverged"


def test_unjudged_is_inherited_over_rounding_and_divergence_over_both() -> None:
    unknown = made(bound_share=None, formula_share=None)
    taps = [differing("a", made()), differing("b", unknown), differing("c", NOTHING)]
    assert statuses(*taps) == ["rounding", "unjudged", "unjudged"]
    assert judged(taps)[2].reason.startswith("inherited from b;")
    wrong = differing("d", made(formula_share=9.0))
    assert statuses(*taps, wrong, differing("e", NOTHING))[3:] == ["diverged", "diverged"]


def test_a_block_that_makes_nothing_says_so_without_stages() -> None:
    taps = judged([differing("a"), differing("b", local=SAME), differing("c", local=OTHER)])
    assert [tap.status for tap in taps] == ["unjudged"] * 3
    assert taps[1].reason == "inherited from a; on the reference's values 0 of 2 differ"


def test_the_noise_floor_excuses_what_it_covers() -> None:
    covered, beyond = judged(
        [
            differing("a", made(formula_share=9.0), floor=OTHER),
            differing("b", made(formula_share=9.0), floor=Metrics(size=2, mismatched=1)),
        ]
    )
    assert (covered.status, beyond.status) == ("rounding", "diverged")
    assert "noise floor" in covered.reason


def test_other_statuses_stay_and_count_as_origins() -> None:
    shape = diff_arrays("a", np.zeros(3), np.zeros(2))
    nan = diff_arrays("b", np.float32([np.nan]), np.float32([1]))
    dtype = diff_arrays("c", np.zeros(2), np.zeros(2, np.float32))
    same = diff_arrays("d", np.zeros(2), np.zeros(2))
    assert statuses(shape, nan, dtype, same) == ["shape", "nonfinite", "dtype", "identical"]
    inherits = judged([nan, differing("e", NOTHING)])[1]
    assert inherits.reason.startswith("inherited from b;")


def test_inherited_is_free_less_local_in_quadrature() -> None:
    reference = np.float32([3.0, 4.0])
    free = compare_arrays(np.float32([3.0, 4.5]), reference)
    local = compare_arrays(np.float32([3.3, 4.0]), reference)
    assert TapDiff("a", "diverged", "", free, local=local).inherited == pytest.approx(
        np.sqrt(0.1**2 - 0.06**2), rel=1e-5
    )
    assert TapDiff("a", "diverged", "", local, local=free).inherited == 0
    assert TapDiff("a", "diverged", "", free).inherited is None
