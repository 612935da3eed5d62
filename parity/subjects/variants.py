"""Named variants: changes to the numerics of the implementation under test.

A variant is only names and values here; which fields exist is for the source to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from parity.errors import RequestError


@dataclass(frozen=True)
class Variant:
    """A column of the report: its heading and the fields that it changes."""

    name: str
    fields: Mapping[str, str | float]


OURS = Variant("ours", {})


def parse_variant(text: str) -> Variant:
    """`NAME:field=value,…`; values that read as numbers are numbers.

    Raises:
      RequestError: the text has another form.
    """
    name, colon, changes = text.partition(":")
    fields: dict[str, str | float] = {}
    for change in changes.split(","):
        field, equals, value = (part.strip() for part in change.partition("="))
        if not (name.strip() and colon and field and equals and value) or field in fields:
            raise RequestError(
                f"--variant must read NAME:field=value,…, each field once; got {text!r}"
            )
        fields[field] = _number_or_word(value)
    return Variant(name.strip(), fields)


def check_names(variants: Iterable[Variant]) -> None:
    """Each column needs a heading of its own.

    Raises:
      RequestError: two variants share a name, or one takes the name `ours`.
    """
    taken = {OURS.name}
    for variant in variants:
        if variant.name in taken:
            raise RequestError(f"two columns are called {variant.name!r}; rename the variant")
        taken.add(variant.name)


def _number_or_word(value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value
