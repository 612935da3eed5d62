"""An explanation in words, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from parity.report.table import WIDTH

if TYPE_CHECKING:
    from parity.explain.explanation import Cause, Explanation

_INDENT = " " * 5


def explanation_text(explanation: Explanation) -> str:
    """Causes in execution order, each with what speaks for it."""
    count = len(explanation.causes)
    if count:
        head = f"{count} statement{'s' if count > 1 else ''} where ours departs"
    else:
        head = "no operation of ours departs from the reference"
    parts = [head]
    parts += ["\n".join(_cause(i, cause)) for i, cause in enumerate(explanation.causes, 1)]
    tail = [] if explanation.faithful is None else [str(explanation.faithful)]
    closing = [line for note in (*tail, *explanation.notes) for line in _wrapped(note, "")]
    if closing:
        parts.append("\n".join(closing))
    return "\n\n".join(parts)


def _cause(number: int, cause: Cause) -> list[str]:
    from parity.explain.explanation import figures, shape_of

    finding = cause.findings[0]
    node = finding.node
    inputs = ", ".join(shape_of(v.array) for v in node.inputs if not v.constant)
    lines = [f"{number:>3}  {cause.where}", *_wrapped(f"> {cause.where.text}")]
    operation = f"{node.operation} of {inputs}: {figures(finding)}"
    if node.where.place != cause.where.place:
        operation += f" (at {node.where})"
    lines += _wrapped(operation)
    if finding.change:
        lines += _wrapped(finding.change)
    theirs = finding.counterpart_where
    if theirs is not None and finding.counterpart_place:
        lines += _wrapped(f"reference: {finding.counterpart_place}")
        lines += _wrapped(f"> {theirs.text}")
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


def _wrapped(text: str, indent: str = _INDENT) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
