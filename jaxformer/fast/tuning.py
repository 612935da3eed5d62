"""Measuring which form multiplies each of a model's matrices fastest on this machine."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxformer.config import Config
from jaxformer.fast.forms import MANY, Choice
from jaxformer.fast.programs import program
from jaxformer.fast.rows import FORMS, Form, cut, rows_product
from jaxformer.fast.widening import Widener

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 512)
# Of the embedding only the last token of each row is asked.
_ROWS = 16
_STACKED = 64  # more are never fastest, and compile for long
_REPEATS = 3
# Measured alone, a form that is quicker by less may be slower within the model.
_CLEARLY = 0.9
# Copies of a matrix take turns, so that no cache holds the next.
_TURNS_BYTES = 1 << 27


def shapes(config: Config) -> list[tuple[int, int, int]]:
    """O, I and the most vectors of every matrix of the model, in rows; none twice."""
    heads, groups, width = config.num_heads, config.num_kv_heads, config.head_width
    dim, wide, many = config.width, config.mlp_width, COUNTS[-1]
    every = [
        (heads * width, dim, many),
        (2 * groups * width, dim, many),
        (dim, heads * width, many),
        (2 * wide, dim, many),
        (dim, wide, many),
        (config.vocab_size, dim, _ROWS),
    ]
    return list(dict.fromkeys(every))


def measure(
    config: Config, outputs: int, inputs: int, most: int, dtype: jnp.dtype
) -> dict[int, dict[str, float]]:
    """Seconds of a product of M vectors in each form, by M; `widen` is the widening alone, and
    `wide` a product with what it gives.

    Args:
      config: of the fast formulation: its programs are compiled as the model's are.
    """
    size = outputs * inputs * jnp.dtype(dtype).itemsize
    copies = max(1, min(64, _TURNS_BYTES // size))
    keys = jax.random.split(jax.random.key(0), copies)
    matrices = [
        cut(jax.random.normal(key, (outputs, inputs), jnp.float32).astype(dtype)) for key in keys
    ]
    multiply = program(rows_product, config, static=("form",))
    widening, wide = 0.0, None
    if jnp.dtype(dtype).itemsize == 2 and most > _ROWS:
        widen = Widener(config)
        widening = _best(lambda: [widen(pieces) for pieces in matrices][-1:]) / copies
        wide = widen(matrices[0])
    found: dict[int, dict[str, float]] = {}
    for count in itertools.takewhile(lambda count: count <= most, COUNTS):
        vectors = jnp.ones((count, inputs), dtype)

        def took(form: Form, matrix: Any, vectors: jax.Array = vectors) -> float:
            return _best(lambda: [multiply(pieces, vectors, form=form) for pieces in matrix])

        found[count] = {str(form): took(form, matrices) / copies for form in _forms(count)}
        if wide is not None:
            found[count] |= {"widen": widening, "wide": took("dot", [wide])}
    return found


def choice_of(found: Mapping[int, Mapping[str, float]]) -> Choice:
    """The fastest form of each number of vectors, and from how many on widening first wins.

    A number between two that were measured is multiplied like the higher one.
    """
    counts = list(found)
    best = {count: _fastest(seconds) for count, seconds in found.items()}
    widened_from = MANY
    for below, count in reversed([*zip([0, *counts[:-1]], counts, strict=True)]):
        seconds = found[count]
        if "wide" not in seconds or seconds["widen"] + seconds["wide"] >= seconds[best[count]]:
            break
        widened_from = below + 1
    return Choice(tuple(_merged(best)), widened_from)


def _fastest(seconds: Mapping[str, float]) -> Form:
    """`stack`, unless `dot` is clearly faster."""
    return "stack" if _CLEARLY * seconds.get("stack", math.inf) < seconds["dot"] else "dot"


def _merged(best: Mapping[int, Form]) -> Iterator[tuple[int, Form]]:
    """Limits of runs of one form; past the last comes `dot`, which any number can be given to."""
    runs = [(form, list(group)) for form, group in itertools.groupby(best, best.__getitem__)]
    if runs[-1][0] == "dot":
        runs.pop()
    for form, group in runs:
        yield group[-1], form
    yield MANY, "dot"


def _forms(count: int) -> list[Form]:
    return [form for form in FORMS if form != "stack" or count <= _STACKED]


def _best(run: Callable[[], Any]) -> float:
    """Seconds of the quickest of a few runs; one more before them compiles."""
    seconds = []
    for _ in range(1 + _REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
