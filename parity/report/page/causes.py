"""An explanation as data for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.explain.explanation import Cause, Explanation


def explained(explanation: Explanation) -> list[dict[str, Any]]:
    """Causes in execution order: place and text of our line, then labelled lines about it."""
    return [_cause(cause) for cause in explanation.causes]


def _cause(cause: Cause) -> dict[str, Any]:
    from parity.explain.explanation import figures, shape_of

    finding = cause.findings[0]
    node, theirs = finding.node, finding.counterpart_where
    inputs = ", ".join(shape_of(v.array) for v in node.inputs if not v.constant)
    lines = [
        ("operation", f"{node.operation} of {inputs}: {figures(finding)}"),
        ("change", finding.change),
        ("confidence", f"{finding.confidence}: {finding.reason}"),
        ("attribution", "" if cause.attribution is None else str(cause.attribution)),
        ("seen", cause.elsewhere),
        ("else look at", ", ".join(str(place) for place in finding.alternatives[:2])),
    ]
    return {
        "place": str(cause.where),
        "text": cause.where.text,
        "reference_place": finding.counterpart_place,
        "reference_text": theirs.text if theirs is not None and theirs.file else "",
        "lines": [line for line in lines if line[1]],
    }
