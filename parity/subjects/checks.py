"""Checks of arguments that subjects and commands share."""

from __future__ import annotations

from parity.errors import RequestError


def one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    """The value, if it is an allowed word or None.

    Raises:
      RequestError: it is neither.
    """
    if value is not None and value not in allowed:
        raise RequestError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def integer(name: str, text: str, low: int, high: int, why: str = "") -> int:
    """A whole number from `low` to `high`; `why` says what sets the upper limit.

    Raises:
      RequestError: the text is something else.
    """
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        limit = f", as {why} {high}" if why else ""
        raise RequestError(
            f"{name} must be a whole number from {low} to {high}{limit}; got {text!r}"
        )
    return value
