"""Faults planted in the reference: its edited statement is named beside ours.

Jaxformer's source as it is against a copy of it with one edit, so the copy has what ours lacks. The
table is printed with `-s`, and written to reports/faults/ with `--write-reports`.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from faults.subject import Statement, edited, model_inputs
from faults.table import FAULTS, Edit

from parity.explain import causes
from parity.explain.findings import Finding

REPORT = Path(__file__).parents[2] / "reports" / "faults" / "reference.md"
# The suite takes every twelfth; `-m ''` takes all.
TWELFTH = 12
# How many of the whole list are named today.
FLOOR = 57
HOW: dict[str, str] = {}


@pytest.fixture(scope="module")
def inputs() -> tuple[Any, Any]:
    return model_inputs()


def how_named(finding: Finding | None, statement: Statement) -> str:
    """As what a finding names a statement of the reference; `missed` where it doesn't."""
    if finding is None:
        return "no cause"
    if statement.holds(finding.counterpart_where):
        return "counterpart"
    if finding.role is not None and statement.holds(finding.role.where):
        return "in the place of ours"
    file = Path(statement.file)
    lines = re.findall(rf"{file.parent.name}/{file.name}:(\d+)", finding.reason)
    said = any(statement.first <= int(line) <= statement.last for line in lines)
    return "in words" if said else "missed"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(edit, id=edit.name, marks=[pytest.mark.matrix] if i % TWELFTH else [])
        for i, edit in enumerate(FAULTS)
    ],
)
def test_a_fault_of_the_reference(edit: Edit, inputs: tuple[Any, Any], tmp_path: Path) -> None:
    """A cause is found; how many name the reference's statement is for the whole suite to say."""
    ours, reference = edited([], tmp_path), edited([edit], tmp_path)
    (statement,) = reference.statements
    found = causes(ours.forward, reference.forward, *inputs, attribution=False)
    first = found.causes[0].findings[0] if found.causes else None
    HOW[edit.name] = how_named(first, statement)
    print(_line(edit.name))
    if HOW[edit.name] in ("no cause", "missed"):
        print(f"{Path(statement.file).name}:{statement.first}, and what is said:\n{found}")
    assert first is not None


def test_the_share_named_is_no_smaller(request: pytest.FixtureRequest) -> None:
    """Runs last; of the whole list (`-m ''`) 42 faults of 71, 59%, are named. 85% is wanted."""
    if len(HOW) < len(FAULTS):
        return
    named = sum(how not in ("no cause", "missed") for how in HOW.values())
    text = _report(named)
    if request.config.getoption("--write-reports"):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text, encoding="utf-8")
    print(text)
    assert named >= FLOOR


def _line(name: str) -> str:
    return f"| {name} | {HOW[name]} |"


def _report(named: int) -> str:
    lines = "\n".join(_line(edit.name) for edit in FAULTS)
    return f"""# Faults planted in the reference

Written by `python -m pytest tests/faults -m '' --write-reports`: jaxformer's source as it is
against a copy with one edit, as whole functions of two blocks in float32, without taps or names.

- {named} of {len(FAULTS)} ({named / len(FAULTS):.0%}): the first cause names the edited statement

| fault | the edited statement is named |
| --- | --- |
{lines}
"""
