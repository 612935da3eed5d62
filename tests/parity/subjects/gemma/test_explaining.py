"""Which of our numerics are tried as the cause of a difference."""

import itertools

import pytest

from jaxformer.numerics import NUMERICS_CHOICES, Numerics
from parity.subjects.gemma.explaining import _possible, _values


@pytest.mark.parametrize("current", [Numerics(), Numerics(formulation="fast")])
def test_what_is_tried_alone_or_in_pairs_is_what_our_side_accepts(current: Numerics) -> None:
    tried = [(f, v) for f in NUMERICS_CHOICES for v in _values(f) if _possible(current, f, v)]
    assert tried
    for (one, first), (other, second) in itertools.product(tried, repeat=2):
        if one != other:
            Numerics(**{"formulation": current.formulation, one: first, other: second})


def test_the_fast_formulation_is_left_but_never_tried() -> None:
    assert _possible(Numerics(formulation="fast"), "formulation", "exact")
    assert not _possible(Numerics(), "formulation", "fast")
