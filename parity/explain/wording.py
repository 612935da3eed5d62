"""An explanation in words, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from parity.explain.figures import shape_of

if TYPE_CHECKING:
    from parity.explain.explanation import Cause, Explanation
    from parity.explain.findings import Finding

_WIDTH = 80
_INDENT = " " * 5


def explanation_text(explanation: Explanation) -> str:
    """Causes in execution order, each with what speaks for it."""
    parts = [_head(explanation)]
    parts += ["\n".join(_cause(i, cause)) for i, cause in enumerate(explanation.causes, 1)]
    tail = [] if explanation.faithful is None else [str(explanation.faithful)]
    closing = [line for note in (*tail, *explanation.notes) for line in _wrapped(note, "")]
    if closing:
        parts.append("\n".join(closing))
    return "\n\n".join(parts)


def operation_text(finding: Finding) -> str:
    """Our operation, what it works on, and how much the values differ."""
    node = finding.node
    given = ", ".join(_shape(v.array, finding) for v in node.inputs if not v.constant)
    what = node.operation
    if node.inputs:
        what += f" of {given or 'constants'}"
    found = finding.counterpart
    if found is not None and found.ours.closed:
        what += f"; its {found.ours.name}"
    differing = finding.differing
    return f"{what}: {'no counterpart to compare with' if differing is None else differing}"


def _shape(array: Any, finding: Finding) -> str:
    """Without its dtype where that is only what the formulas were evaluated in."""
    return str(list(array.shape)) if finding.wide else shape_of(array)


def _head(explanation: Explanation) -> str:
    count = len(explanation.causes)
    if count:
        return f"{count} statement{'s' if count > 1 else ''} where ours departs"
    if explanation.agrees:
        return "no operation of ours departs from the reference"
    if explanation.harmless:
        return "the same formula: ours departs from the reference by rounding alone"
    return "ours departs from the reference, and no statement was found that causes it"


def _cause(number: int, cause: Cause) -> list[str]:
    finding = cause.findings[0]
    node = finding.node
    lines = [f"{number:>3}  {cause.where}", *_quoted(cause.where.text)]
    operation = operation_text(finding)
    if node.where.place != cause.where.place:
        operation += f" (at {node.where})"
    lines += _wrapped(operation)
    if finding.change:
        lines += _wrapped(finding.change)
    theirs = finding.counterpart_where
    if theirs is not None and finding.counterpart_place:
        lines += _wrapped(f"reference: {finding.counterpart_place}")
        lines += _quoted(theirs.text)
    lines += _wrapped(f"confidence {finding.confidence}: {finding.reason}")
    if cause.attribution is not None:
        lines += _wrapped(str(cause.attribution))
    if cause.elsewhere:
        lines += _wrapped(cause.elsewhere)
    elif len(cause.findings) > 1:
        lines += _wrapped(f"the same statement at {len(cause.findings)} operations")
    others = [str(place) for place in finding.alternatives[:2]]
    if others:
        lines += _wrapped(f"else look at {', '.join(others)}")
    return lines


def _quoted(source: str) -> list[str]:
    """A source line; nothing where its text isn't known, as of code that was typed in."""
    return _wrapped(f"> {source}") if source else []


def _wrapped(text: str, indent: str = _INDENT) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
