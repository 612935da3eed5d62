"""What tests of explanations share: where a function's text stands, and the lines of causes."""

import inspect
from collections.abc import Callable
from typing import Any

from parity.explain import Explanation


def line_of(fn: Callable[..., Any], text: str) -> int:
    """The line of the first piece of a function's source that holds the text."""
    lines, start = inspect.getsourcelines(fn)
    return start + next(i for i, line in enumerate(lines) if text in line)


def places(explanation: Explanation, file: str) -> list[int]:
    """The line of each cause, all of which are in one file."""
    assert {cause.where.file for cause in explanation.causes} <= {file}
    return [cause.where.line for cause in explanation.causes]


def said(explanation: Explanation) -> str:
    """Its words without line breaks."""
    return " ".join(str(explanation).split())
