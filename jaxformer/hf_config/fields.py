"""Fields of a JSON object, each checked for type and size; what is wrong is collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Fields:
    """Reads fields by name. A bad one adds to `problems` and yields a value to go on with.

    Args:
      mapping: the JSON object.
      problems: shared by everything that reads one config.
      where: prefix of names in messages, such as `rope_scaling.`.
    """

    def __init__(self, mapping: Mapping[str, Any], problems: list[str], where: str = "") -> None:
        self._mapping = mapping
        self._problems = problems
        self._where = where

    def get(self, name: str, default: Any = None) -> Any:
        return self._mapping.get(name, default)

    def names(self) -> list[str]:
        return list(self._mapping)

    def problem(self, text: str) -> None:
        self._problems.append(self._where + text)

    def part(self, name: str) -> Fields:
        """A nested object; an empty one where it is absent or null."""
        value = self._mapping.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.problem(f"{name} must be an object or null, got {shown(value)}")
            value = None
        return Fields(value or {}, self._problems, f"{self._where}{name}.")

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`, and the default where there is none."""
        value = self._mapping.get(name, default)
        if type(value) is not int or not 1 <= value <= most:
            self.problem(f"{name} must be a whole number from 1 to {most}, got {shown(value)}")
            return default
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number from `least` to `most`, which are finite."""
        value = self._mapping.get(name, default)
        # NaN fails the comparison too.
        if type(value) not in (int, float) or not least <= value <= most:
            self.problem(f"{name} must be a number from {least:g} to {most:g}, got {shown(value)}")
            return default
        return value

    def one_of(self, name: str, allowed: Sequence[Any]) -> Any:
        """One of the allowed values, the first of which is the default."""
        value = self._mapping.get(name, allowed[0])
        # `1 == True`, which a JSON config does not mean.
        if not any(type(value) is type(one) and value == one for one in allowed):
            words = " or ".join(shown(one) for one in allowed)
            self.problem(f"{name} must be {words}, got {shown(value)}")
            return allowed[0]
        return value


def shown(value: object) -> str:
    """A value from a file as JSON would have it, cut short, fit for one line."""
    words = {None: "null", True: "true", False: "false"}
    text = words.get(value) if value is None or isinstance(value, bool) else repr(value)
    assert text is not None
    return text if len(text) <= 60 else text[:57] + "…"
