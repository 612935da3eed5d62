"""Which form multiplies a matrix fastest: as measured on this machine, or else by default."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.fast.rows import FORMS, Form, Forms
from jaxformer.machine import cache_folder, machine

SCHEMA = 1
MANY = 1 << 31
_LARGE = 8192


@dataclass(frozen=True)
class Choice:
    """How to multiply with one shape of matrix.

    Attributes:
      forms: by the number of vectors, as `Rows` has them.
      widened_from: of so many vectors on, a bfloat16 matrix that serves several products is
        worth widening to float32 before.
    """

    forms: Forms
    widened_from: int


# Given O, I and the dtype of a matrix.
Chooser = Callable[[int, int, jnp.dtype], Choice]


def default_choice(outputs: int, inputs: int, dtype: jnp.dtype) -> Choice:
    """On a CPU as measured with 2 cores and AVX-512: for few vectors one product over the whole
    matrix first writes a widened, turned copy of it, which the larger matrix takes longer to earn
    back. Elsewhere one product, which those backends have kernels for."""
    del inputs, dtype
    if jax.default_backend() != "cpu":
        return Choice(((MANY, "dot"),), MANY)
    few = 32 if outputs >= _LARGE else 16
    return Choice(((few, "stack"), (MANY, "dot")), few + 1)


def measured_choice() -> Chooser:
    """What `python -m jaxformer tune` found on this machine; the default for what it did not see,
    and where its file is not there or no such file."""
    choices = read_choices()

    def choose(outputs: int, inputs: int, dtype: jnp.dtype) -> Choice:
        found = choices.get(shape_name(outputs, inputs, dtype))
        return found or default_choice(outputs, inputs, dtype)

    return choose


def shape_name(outputs: int, inputs: int, dtype: jnp.dtype) -> str:
    """Of a matrix of O outputs and I inputs."""
    return f"{outputs}x{inputs} {jnp.dtype(dtype).name}"


def choices_file() -> Path:
    """Where this machine's choices are, or would be."""
    key = hashlib.sha256(json.dumps(machine(), sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / f"forms-{key}.json"


def read_choices() -> dict[str, Choice]:
    """By shape; none where they were not measured, or the file is of another kind."""
    try:
        document = json.loads(choices_file().read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA or document["machine"] != machine():
            return {}
        return {name: _choice(given) for name, given in document["choices"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_choices(choices: Mapping[str, Choice]) -> Path:
    """Add to this machine's choices; written beside its place, then renamed into it.

    Raises:
      OSError: it can't be written.
    """
    path = choices_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    every = {**read_choices(), **choices}
    document = {
        "schema": SCHEMA,
        "machine": machine(),
        "choices": {
            name: {"forms": choice.forms, "widened_from": choice.widened_from}
            for name, choice in every.items()
        },
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1), encoding="utf-8")
    part.replace(path)
    return path


def _choice(given: Mapping[str, Any]) -> Choice:
    """Read back; ValueError for what could not multiply every number of vectors."""
    forms: list[tuple[int, Form]] = [(int(limit), form) for limit, form in given["forms"]]
    limits = [limit for limit, _ in forms]
    if limits != sorted(set(limits)) or limits[-1:] != [MANY]:
        raise ValueError(f"limits {limits} do not rise to {MANY}")
    if not all(form in FORMS for _, form in forms):
        raise ValueError(f"forms must be among {', '.join(FORMS)}")
    return Choice(tuple(forms), int(given["widened_from"]))
