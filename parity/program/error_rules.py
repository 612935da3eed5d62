"""Error of one operation's results, to first order: the rules of parity/program/bounds.py.

The table is put together of the files in parity/program/rules, where each rule has its source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parity.program.bounded import Operation
from parity.program.rules import (
    arithmetic,
    comparisons,
    fourier,
    functions,
    moves,
    orders,
    scatters,
    sums,
)

# operation -> the error of its result, None for an exact one; of several results, one for each
RULES: dict[str, Callable[[Operation], Any]] = {
    **arithmetic.RULES,
    **functions.RULES,
    **sums.RULES,
    **orders.RULES,
    **comparisons.RULES,
    **moves.RULES,
    **scatters.RULES,
    **fourier.RULES,
}
# Operations that round nothing: of exact inputs, their results are exact.
EXACT: frozenset[str] = frozenset().union(
    arithmetic.EXACT,
    functions.EXACT,
    orders.EXACT,
    comparisons.EXACT,
    moves.EXACT,
    scatters.EXACT,
    # A float made of given bits.
    ("bitcast_convert_type",),
)
# Rules that hold for complex numbers as well.
COMPLEX: frozenset[str] = frozenset().union(
    arithmetic.COMPLEX,
    functions.COMPLEX,
    sums.COMPLEX,
    comparisons.COMPLEX,
    moves.COMPLEX,
    fourier.COMPLEX,
)
