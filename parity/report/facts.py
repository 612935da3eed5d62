"""What a manifest says of a run, as far as it has it: of a model or of any function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that apply to this run: those that don't are None, or empty."""
    return {name: value for name, value in manifest.items() if value not in (None, "", {}, [])}


def run_name(manifest: Mapping[str, Any]) -> str:
    """What ran: the model, else the function, else nothing."""
    have = known(manifest)
    return str(have.get("model") or have.get("source") or "")


def inputs(manifest: Mapping[str, Any], most: int) -> list[str]:
    """What a function was called with, an argument each: `x float32[4, 4] 0123456789abcdef`.

    Of a tree of weights, which may have hundreds, no more than `most` are named.
    """
    found = manifest.get("inputs")
    if not isinstance(found, Mapping):
        return []
    lines = [f"{name} {what}" for name, what in found.items()]
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], f"and {more} more"]
