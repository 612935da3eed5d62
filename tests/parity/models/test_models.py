"""What a comparison says of models that are not Gemma: statuses, and the taps at which they stand.

The cases are in tests/model_cases.py. The suite takes some of them in one dtype of each model;
`-m ''` takes all. The table is printed with `-s`, and written to reports/models/ with
`--write-reports`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from model_cases import BFLOAT16, CASES, FLOAT32, MODELS, Case
from models_for_tests import edited, model

from parity.subjects.diffing import function_plan
from parity.verdict.comparison import Column
from parity.verdict.plan import Options, Plan
from parity.verdict.runner import compare
from parity.verdict.taps import TapDiff

REPORT = Path(__file__).parents[3] / "reports" / "models" / "table.md"
LONGEST_REASON = 110
# The suite's part: the dtype in which a model is tried, and of its cases every so many.
TRIED = dict(zip(MODELS, (FLOAT32, BFLOAT16, FLOAT32, BFLOAT16, FLOAT32), strict=True))
EVERY = 5
SAID: dict[tuple[Case, str], TapDiff | None] = {}


def without_taps(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *inputs: fn(*inputs)


def plan_of(case: Case, dtype: str, folder: Path) -> tuple[Plan, Options]:
    """The edited model beside its reference."""
    theirs = edited(case.model, case.shared, folder) if case.shared else model(case.model)
    ours = edited(case.model, (*case.shared, *case.edits), folder)
    sides = [getattr(ours, case.build)(dtype), getattr(theirs, case.reference)(dtype)]
    if not case.tapped:
        sides = [without_taps(side) for side in sides]
    names = getattr(theirs, case.names) if case.names else None
    plan = function_plan(*sides, theirs.inputs(dtype), names=names, taps=case.taps)
    return plan, Options(inject=case.inject, oracle=case.oracle)


def columns_of(cases: Sequence[Case], dtype: str, folder: Path) -> list[Column]:
    """Of each case; those that have one reference are held against one run of it."""
    together = [case for case in cases if not case.alone]
    apart = [[case] for case in cases if case.alone]
    columns: dict[Case, Column] = {}
    for group in filter(None, [together, *apart]):
        plans, (options, *_) = zip(*(plan_of(case, dtype, folder) for case in group), strict=True)
        candidates = [plan.held[0].candidates[0] for plan in plans]
        held = dataclasses.replace(plans[0].held[0], candidates=candidates)
        comparison, _ = compare(dataclasses.replace(plans[0], held=[held]), options)
        columns |= zip(group, comparison.columns, strict=True)
    return [columns[case] for case in cases]


def decisive(column: Column) -> TapDiff | None:
    """The tap of the worst that is said of a column; None of an equal one."""
    return column.diverged_at or column.unjudged_at or column.first_divergence


def right(case: Case, said: TapDiff | None) -> bool:
    if said is None:
        return case.expected in ("identical", "rounding")
    return said.status == case.expected and case.tap in ("", said.tap)


def check(cases: Sequence[Case], dtype: str, folder: Path) -> None:
    wrong = []
    for case, column in zip(cases, columns_of(cases, dtype, folder), strict=True):
        said = SAID[case, dtype] = decisive(column)
        print(line(case, dtype, said))
        if not right(case, said):
            wrong.append(line(case, dtype, said))
    assert wrong == []


def cases_of(name: str, dtype: str) -> list[Case]:
    return [case for case in CASES if case.model == name and dtype in case.dtypes]


@pytest.mark.parametrize("name", MODELS)
def test_some_cases_have_the_status_that_is_theirs(name: str, tmp_path: Path) -> None:
    cases = [case for case in cases_of(name, TRIED[name]) if not case.alone]
    check(cases[::EVERY], TRIED[name], tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("name", MODELS)
def test_every_case_has_the_status_that_is_its(name: str, dtype: str, tmp_path: Path) -> None:
    check(cases_of(name, dtype), dtype, tmp_path)


@pytest.mark.matrix
def test_the_report_is_this_run(request: pytest.FixtureRequest) -> None:
    """Runs last, on what the tests above have seen; it is written of all cases (`-m ''`)."""
    every = [(case, dtype) for case in CASES for dtype in case.dtypes]
    if len(SAID) < len(every):
        written = set(REPORT.read_text(encoding="utf-8").splitlines())
        assert {line(*key, said) for key, said in SAID.items()} <= written
        return
    text = report(every)
    if request.config.getoption("--write-reports"):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text, encoding="utf-8")
    assert REPORT.read_text(encoding="utf-8") == text


def line(case: Case, dtype: str, said: TapDiff | None) -> str:
    status, tap, reason = ("identical", "", "")
    if said is not None:
        status, tap, reason = said.status, said.tap, said.reason
    cells = (case.model, dtype, case.name, case.expectation, status.upper(), tap, brief(reason))
    return f"| {' | '.join(cell or '-' for cell in cells)} |"


def brief(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON].rstrip()} …"


def report(every: Sequence[tuple[Case, str]]) -> str:
    parts = []
    for title, held_out in (("Cases by which the verdicts were mended", False), ("Held out", True)):
        keys = [key for key in every if key[0].held_out == held_out]
        rows = "\n".join(line(*key, SAID[key]) for key in keys)
        parts.append(f"## {title}\n\n{figures(keys)}\n\n{HEADER}\n{rows}\n")
    return f"{INTRODUCTION}\n{chr(10).join(parts)}"


HEADER = """\
| model | dtype | case | expected | said | at tap | reason |
| --- | --- | --- | --- | --- | --- | --- |"""
INTRODUCTION = """\
# Models that are not Gemma

Written by `python -m pytest tests/parity/models -m '' --write-reports`: the models of
tests/parity/models beside themselves with one edit each, on a CPU. tests/model_cases.py has the
edits. An edit of the same mathematics must be ROUNDING or IDENTICAL, a fault DIVERGED at the first
tap that it changes, and what nothing can decide UNJUDGED.
"""


def figures(keys: Sequence[tuple[Case, str]]) -> str:
    kinds = {
        "of a model and itself": "identical",
        "rewrites": "rounding",
        "faults": "diverged",
        "undecidable": "unjudged",
        "of another shape": "shape",
        "of another dtype": "dtype",
    }
    lines = []
    for kind, expected in kinds.items():
        found = [
            right(case, SAID[case, dtype]) for case, dtype in keys if case.expected == expected
        ]
        if found:
            lines.append(f"- {kind}: {sum(found)} of {len(found)} right")
    return "\n".join(lines)
