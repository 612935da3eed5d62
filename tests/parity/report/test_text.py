"""Verdicts and headlines: what is worst comes first, and what was not judged is said."""

import dataclasses
from collections.abc import Sequence

import pytest
from comparisons_for_tests import SCAN, STACKS, other_comparison, tap

from parity.report.page.head import head
from parity.report.summary import first_line
from parity.report.text import details, headline, render, undecided, verdict
from parity.verdict.comparison import Column, Comparison
from parity.verdict.taps import StageError, Status, TapDiff


def column(*statuses: Status) -> Column:
    """A tap of each status, called a, b, c."""
    taps = []
    for name, status in zip("abcdef", statuses, strict=False):
        if status in ("identical", "missing", "not_compared", "shape"):
            same = tap(name) if status == "identical" else TapDiff(name, status, f"why {status}")
            taps.append(same)
        else:
            found = tap(name, 0.1)
            taps.append(dataclasses.replace(found, status=status, reason=f"why {status}"))
    return Column("ours", {}, taps)


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (["identical", "unjudged"], "UNJUDGED at b"),
        (["rounding", "unjudged", "unjudged"], "UNJUDGED at b, bits differ from a"),
        (["unjudged", "rounding"], "UNJUDGED at a"),
        (["rounding", "rounding"], "ROUNDING from a"),
        (["unjudged", "diverged"], "DIVERGED at b, bits differ from a, and 1 tap is unjudged"),
        (["diverged", "unjudged", "unjudged"], "DIVERGED at a, and 2 taps are unjudged"),
        (["unjudged", "shape"], "SHAPE at b, bits differ from a, and 1 tap is unjudged"),
        (["unjudged", "missing"], "MISSING at b, bits differ from a, and 1 tap is unjudged"),
        (["diverged", "rounding"], "DIVERGED at a"),
    ],
)
def test_a_verdict_names_the_worst_status_and_counts_what_is_unjudged(
    statuses: Sequence[Status], words: str
) -> None:
    assert verdict(column(*statuses)) == words


def test_under_an_unjudged_verdict_stands_what_would_decide_it() -> None:
    ours = column("rounding", "unjudged")
    assert "why unjudged" in details(Comparison({}, [ours]), ours)


@pytest.mark.parametrize(
    ("statuses", "allow", "words"),
    [
        (["identical"], (), "Parity holds"),
        (["identical"], ("rounding",), "Parity holds, up to rounding"),
        (["rounding"], ("rounding",), "Parity holds, up to rounding"),
        (["unjudged"], ("unjudged",), "Parity holds, up to unjudged differences"),
        (
            ["rounding", "unjudged"],
            ("rounding", "unjudged"),
            "Parity holds, up to rounding and unjudged differences",
        ),
        (["unjudged"], (), "Parity is not decided"),
        (["rounding", "unjudged"], ("rounding",), "Parity is not decided"),
        (["rounding", "unjudged"], (), "Parity does not hold"),
        (["unjudged", "diverged"], ("rounding",), "Parity does not hold"),
        (["unjudged", "missing"], (), "Parity does not hold"),
        (["not_compared"], (), "Parity does not hold"),
    ],
)
def test_the_headline(statuses: Sequence[Status], allow: Sequence[Status], words: str) -> None:
    comparison = Comparison({}, [column(*statuses)], allow=frozenset(allow))
    assert headline(comparison) == words
    assert first_line(comparison).startswith(f"{words}: ours ")
    state = "open" if undecided(comparison) else "holds" if comparison.holds else "fails"
    assert f'<h1 class="{state}">{words}</h1>' in head(comparison)
    assert (state == "open") == ("not decided" in words)


def test_what_is_allowed_without_being_judged_is_said_at_its_column() -> None:
    said = "unjudged differences are allowed in this run"
    ours, other = column("rounding", "unjudged"), column("unjudged")
    allowed = frozenset[Status](("rounding", "unjudged"))
    assert render(Comparison({}, [ours, other], allow=allowed), "table").count(said) == 1
    assert said not in render(Comparison({}, [ours, other]), "table")
    assert said not in render(Comparison({}, [column("rounding")], allow=allowed), "table")


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (SCAN, "mlp, attn, head"),
        (STACKS, "mlp, attn, memory, …"),
        (["a", "b", "layers[0].attn.query", "layers[0].mlp"], "attn.query, mlp"),
    ],
)
def test_errors_are_named_by_the_kinds_of_their_taps(names: Sequence[str], kinds: str) -> None:
    whole = other_comparison(names)
    taps = [
        dataclasses.replace(each, stage=StageError(each.metrics)) if each.metrics else each
        for each in whole.columns[0].taps
    ]
    ours = dataclasses.replace(whole.columns[0], taps=taps)
    comparison = dataclasses.replace(whole, columns=[ours])
    made = sum(each.metrics is not None and each.metrics.mismatched > 0 for each in taps)
    assert f"such errors are made at {made} taps: {kinds}" in details(comparison, ours)
