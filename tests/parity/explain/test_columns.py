"""Which columns of a comparison are explained."""

import dataclasses

import numpy as np
import pytest
from comparisons_for_tests import small_comparison

from parity.errors import RequestError
from parity.explain import causes
from parity.explain.columns import with_causes
from parity.verdict.comparison import Comparison


def found(progress):
    progress("replaying")
    return causes(lambda x: (x * 3).sum(), lambda x: (x * 2).sum(), np.float32([1, 2]))


def refused(progress):
    raise RequestError("ours draws random numbers")


def explained_columns(when, explainers=None, columns=slice(None)) -> dict[str, bool]:
    comparison = small_comparison()
    comparison = dataclasses.replace(comparison, columns=comparison.columns[columns])
    explainers = dict.fromkeys(("ours", "eps=1e-5"), found) if explainers is None else explainers
    made = with_causes(comparison, explainers, when, lambda _: None)
    return {column.name: column.explained is not None for column in made.columns}


def test_never_is_never() -> None:
    assert explained_columns("never") == {"ours": False, "eps=1e-5": False}


def test_always_explains_what_differs_and_nothing_else() -> None:
    assert explained_columns("always") == {"ours": False, "eps=1e-5": True}


def test_auto_explains_the_column_under_test_alone() -> None:
    """A variant departs because it was asked to."""
    assert explained_columns("auto") == {"ours": False, "eps=1e-5": False}
    assert explained_columns("auto", columns=slice(1, None)) == {"eps=1e-5": True}


def test_a_column_that_nothing_explains_stays_as_it_is() -> None:
    assert explained_columns("always", {}) == {"ours": False, "eps=1e-5": False}


def diverged(explainer) -> Comparison:
    return with_causes(small_comparison(), {"eps=1e-5": explainer}, "always", lambda _: None)


def test_causes_are_in_the_document() -> None:
    ours, eps = diverged(found).to_json()["columns"]
    assert ours["explained"] is None
    (cause,) = eps["explained"]["causes"]
    assert cause["kind"] == "formula"
    assert "x * 3" in cause["text"]


def test_what_stands_in_the_way_is_said_and_loses_no_figures() -> None:
    comparison = diverged(refused)
    (note,) = comparison.to_json()["columns"][1]["explained"]["notes"]
    assert note == "the statement was not looked for: ours draws random numbers"
    assert comparison.columns[1].taps == small_comparison().columns[1].taps


@pytest.mark.parametrize("when", ["auto", "always"])
def test_progress_names_the_column(when: str) -> None:
    said: list[str] = []
    comparison = small_comparison()
    comparison = dataclasses.replace(comparison, columns=comparison.columns[1:])
    with_causes(comparison, {"eps=1e-5": found}, when, said.append)
    assert said == ["eps=1e-5: looking for the statement that departs", "replaying"]
