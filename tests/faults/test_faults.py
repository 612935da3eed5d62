"""Planted faults are found at their statement; rewrites that change nothing are left in peace.

The official package's whole function, without taps, against an edited copy of jaxformer. The table
is printed with `-s`, and written to reports/faults/ with `--write-reports`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cases import Case
from faults.rewrites import ROUNDING_REWRITES
from faults.subject import CONFIG, Statement, edited, model_inputs
from faults.table import COMBINATIONS, FAULTS, ONE_BLOCK, REWRITES, Edit

from parity.explain import causes
from parity.explain.findings import Finding

Fn = Callable[..., Any]
REPORT = Path(__file__).parents[2] / "reports" / "faults" / "table.md"
BY_NAME = {edit.name: edit for edit in FAULTS} | ONE_BLOCK
# Of each list the suite takes every third; `-m ''` takes all.
THIRD = 3
LINES: dict[str, str] = {}
RANKS: dict[str, int | None] = {}
FOUND: dict[str, list[bool]] = {}
SOUND: set[str] = set()


def sampled(cases: Sequence[Any], names: Iterable[str]) -> list[Any]:
    """The parameters of a test, marked for the suite or for `matrix`."""
    return [
        pytest.param(case, id=name, marks=[pytest.mark.matrix] if i % THIRD else [])
        for i, (case, name) in enumerate(zip(cases, names, strict=True))
    ]


@pytest.fixture(scope="module")
def inputs() -> tuple[Any, Any]:
    return model_inputs()


@pytest.fixture(scope="module")
def reference(inputs: tuple[Any, Any]) -> Fn:
    official, _ = Case(CONFIG, inputs[0], (2, 20), 2).sources()
    return lambda p, t: official.fn(p, t, tap=lambda _, v: v)


def explained(
    edits: Sequence[Edit], reference: Fn, inputs: tuple[Any, Any], folder: Path
) -> tuple[list[Finding], list[Statement]]:
    subject = edited(edits, folder)
    found = causes(subject.forward, reference, *inputs, attribution=False)
    return [cause.findings[0] for cause in found.causes], subject.statements


def rank(finding: Finding, statement: Statement) -> int | None:
    """At which of its first three answers a finding names the statement, from 1."""
    for number, place in enumerate([finding.where, *finding.alternatives][:3], 1):
        if statement.holds(place):
            return number
    return None


def verdict(finding: Finding | None, statement: Statement) -> str:
    if finding is None:
        return "missed"
    if rank(finding, statement) == 1:
        return "same statement" if statement.last > statement.first else "line exact"
    first, last = statement.function
    inside = finding.where.file == statement.file and first <= finding.where.line <= last
    return "same function" if inside else "wrong"


@pytest.mark.parametrize("edit", sampled(FAULTS, [edit.name for edit in FAULTS]))
def test_a_fault_is_named(
    edit: Edit, reference: Fn, inputs: tuple[Any, Any], tmp_path: Path
) -> None:
    findings, (statement,) = explained([edit], reference, inputs, tmp_path)
    first = findings[0] if findings else None
    found = rank(first, statement) if first else None
    RANKS[edit.name] = found
    LINES[edit.name] = (
        f"| {edit.name} | {verdict(first, statement)} | {found or '-'} "
        f"| {(first.change if first else '') or '-'} | {first.confidence if first else '-'} |"
    )
    print(LINES[edit.name])
    assert found is not None


@pytest.mark.parametrize("names", sampled(COMBINATIONS, map(" + ".join, COMBINATIONS)))
def test_faults_together(
    names: tuple[str, ...], reference: Fn, inputs: tuple[Any, Any], tmp_path: Path
) -> None:
    """Each is looked for; how many may be missed is for the whole suite to say."""
    findings, statements = explained([BY_NAME[n] for n in names], reference, inputs, tmp_path)
    ranks = [
        min((r for f in findings if (r := rank(f, statement))), default=None)
        for statement in statements
    ]
    together = " + ".join(names)
    FOUND[together] = [r is not None for r in ranks]
    shown = ", ".join(str(r or "missed") for r in ranks)
    LINES[together] = f"| {together} | {shown} |"
    print(LINES[together])
    assert any(FOUND[together])


@pytest.mark.parametrize("edit", sampled(REWRITES, [edit.name for edit in REWRITES]))
def test_a_harmless_rewrite_is_left_in_peace(
    edit: Edit, reference: Fn, inputs: tuple[Any, Any], tmp_path: Path
) -> None:
    findings, _ = explained([edit], reference, inputs, tmp_path)
    assert [str(finding.where) for finding in findings] == []
    LINES[edit.name] = f"| {edit.name} | no origin |"


@pytest.mark.parametrize("name", sampled(list(ROUNDING_REWRITES), ROUNDING_REWRITES))
def test_another_rounding_is_no_other_formula(
    name: str, reference: Fn, inputs: tuple[Any, Any], tmp_path: Path
) -> None:
    """The bits differ and the formula doesn't; a cause may be named, of kind rounding."""
    subject = edited(ROUNDING_REWRITES[name], tmp_path)
    found = causes(subject.forward, reference, *inputs, attribution=False)
    assert not found.agrees
    assert found.same_formula
    assert [str(cause.where) for cause in found.causes if cause.kind == "formula"] == []
    SOUND.add(name)


def test_an_unedited_copy_has_no_origin(
    reference: Fn, inputs: tuple[Any, Any], tmp_path: Path
) -> None:
    assert explained([], reference, inputs, tmp_path) == ([], [])


def test_the_bars_are_met_and_the_report_is_this_run(request: pytest.FixtureRequest) -> None:
    """Runs last, on what the tests above have seen; the bars need all of them (`-m ''`)."""
    if len(LINES) + len(SOUND) < sum(map(len, (FAULTS, COMBINATIONS, REWRITES, ROUNDING_REWRITES))):
        assert set(LINES.values()) <= set(REPORT.read_text(encoding="utf-8").splitlines())
        return
    exact = sum(r == 1 for r in RANKS.values())
    within = sum(r is not None for r in RANKS.values())
    parts = [found for each in FOUND.values() for found in each]
    text = _report(exact, within, parts)
    if request.config.getoption("--write-reports"):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text, encoding="utf-8")
    assert len(FAULTS) >= 40
    assert exact >= 0.95 * len(FAULTS)
    assert within == len(FAULTS)
    assert sum(parts) >= 0.9 * len(parts)
    assert REPORT.read_text(encoding="utf-8") == text


def _report(exact: int, within: int, parts: list[bool]) -> str:
    singles = "\n".join(LINES[edit.name] for edit in FAULTS)
    together = "\n".join(LINES[" + ".join(names)] for names in COMBINATIONS)
    rewrites = "\n".join(LINES[edit.name] for edit in REWRITES)
    roundings = "\n".join(f"| {name} | no formula cause |" for name in ROUNDING_REWRITES)
    return f"""# Planted faults

Written by `python -m pytest tests/faults -m '' --write-reports`: jaxformer's source with one edit
against the official package, as whole functions of two blocks in float32, without taps or names.

- {exact} of {len(FAULTS)} single faults at the exact statement as the first answer
- {within} of {len(FAULTS)} within the first three answers
- {sum(parts)} of {len(parts)} faults of pairs and triples found
- no origin on {len(REWRITES)} rewrites that change no values
- no formula cause on {len(ROUNDING_REWRITES)} rewrites that round differently

| fault | found | rank | what differs | confidence |
| --- | --- | --- | --- | --- |
{singles}

| faults together | rank of each |
| --- | --- |
{together}

| rewrite | |
| --- | --- |
{rewrites}
{roundings}
"""
