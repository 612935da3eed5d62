"""`python -m jaxformer tune`: measure, once a machine, how its matrices are multiplied fastest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from jaxformer.commands.arguments import OK, Command, Progress, one_of
from jaxformer.config import PRESETS
from jaxformer.errors import UsageError

if TYPE_CHECKING:
    from jaxformer.fast.forms import Choice

_DTYPES = ("bfloat16", "float32")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", default="gemma3-1b", help="|".join(PRESETS) + " (default: gemma3-1b)")
    add("--dtype", default="bfloat16", help="|".join(_DTYPES) + " (default: bfloat16)")


def _run(parsed: argparse.Namespace) -> int:
    one_of("--model", parsed.model, tuple(PRESETS))
    one_of("--dtype", parsed.dtype, _DTYPES)
    progress = Progress()

    import jax.numpy as jnp

    from jaxformer.fast.forms import choices_file, shape_name, write_choices
    from jaxformer.fast.tuning import choice_of, measure, shapes

    config = PRESETS[parsed.model].with_numerics(formulation="fast")
    dtype = jnp.dtype(parsed.dtype)
    choices: dict[str, Choice] = {}
    for outputs, inputs, most in shapes(config):
        name = shape_name(outputs, inputs, dtype)
        progress(f"measuring {name}")
        found = measure(config, outputs, inputs, most, dtype)
        choices[name] = choice_of(found)
        print(_lines(name, found, choices[name]), flush=True)
    try:
        path = write_choices(choices)
    except OSError as error:
        raise UsageError(
            f"can't write {choices_file()}: {error.strerror or error}; set JAXFORMER_CACHE to a "
            "folder that can be written"
        ) from error
    print(f"kept in {path}")
    return OK


def _lines(name: str, found: dict[int, dict[str, float]], choice: Choice) -> str:
    """A row for each number of vectors: milliseconds of a product in every form."""
    columns = ["dot", "stack", "widen", "wide"]
    head = f"{name:>24} " + "".join(f"{column:>9}" for column in columns)
    rows = [head]
    for count, seconds in found.items():
        shown = "".join(
            f"{seconds[column] * 1e3:9.2f}" if column in seconds else f"{'-':>9}"
            for column in columns
        )
        rows.append(f"{count:>24} {shown}")
    return "\n".join([*rows, _words(choice)])


def _words(choice: Choice) -> str:
    """Such as: stack up to 8, dot past that; widened before from 33 on."""
    steps = [f"{form} up to {limit}" for limit, form in choice.forms[:-1]]
    last = choice.forms[-1][1]
    said = ", ".join([*steps, f"{last} past that"]) if steps else f"always {last}"
    if choice.widened_from < choice.forms[-1][0]:
        said += f"; widened before from {choice.widened_from} on"
    return f"  -> {said}"


TUNE = Command(
    "measure how matrices are multiplied fastest here, and keep it", _add_arguments, _run
)
