"""JSON objects from files that may hold anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxformer.checkpoint.messages import shown_name
from jaxformer.errors import UsageError

CONFIG = "config.json"


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
      UsageError: it can't be read, isn't JSON, isn't an object, or names a member twice.
    """
    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror or error}") from error
    except _NamedTwiceError as error:
        raise UsageError(f"{path} names {shown_name(str(error))} twice") from error
    # ValueError: not JSON, not UTF-8, a number of too many digits.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): it is damaged, fetch it again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold a JSON object, it holds a {type(value).__name__}")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


class _NamedTwiceError(Exception):
    """A member of an object, twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise _NamedTwiceError(next(name for name in members if names.count(name) > 1))
    return members
