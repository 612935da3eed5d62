"""An explanation as data, for a report or another program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parity.explain.wording import explanation_text, operation_text
from parity.verdict.taps import Explained

if TYPE_CHECKING:
    from parity.explain.explanation import Cause, Explanation


def explained(explanation: Explanation) -> Explained:
    """Causes in execution order: place and text of our line, then labelled lines about it."""
    return Explained(
        [_cause(cause) for cause in explanation.causes],
        explanation.same_formula,
        list(explanation.notes),
        explanation_text(explanation),
    )


def _cause(cause: Cause) -> dict[str, Any]:
    finding, theirs = cause.findings[0], cause.findings[0].counterpart_where
    lines = [
        ("operation", operation_text(finding)),
        ("change", finding.change),
        ("confidence", f"{finding.confidence}: {finding.reason}"),
        ("attribution", "" if cause.attribution is None else str(cause.attribution)),
        ("seen", cause.elsewhere),
        ("else look at", ", ".join(str(place) for place in finding.alternatives[:2])),
    ]
    return {
        "kind": cause.kind,
        "confidence": finding.confidence,
        "place": str(cause.where),
        "line": cause.where.line,
        "text": cause.where.text,
        "reference_place": finding.counterpart_place,
        "reference_text": theirs.text if theirs is not None and theirs.file else "",
        "lines": [line for line in lines if line[1]],
    }
