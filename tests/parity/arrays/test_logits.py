"""Impact of other logits: flips, margins, divergence, each on numbers worked out by hand."""

import math

import ml_dtypes
import numpy as np
import pytest

from parity.arrays import logits as impact
from parity.arrays.logits import logits_impact


def test_equal_logits_have_no_impact() -> None:
    logits = np.random.default_rng(0).standard_normal((2, 5, 50)).astype(np.float32)
    found = logits_impact(logits.copy(), logits)
    assert (found.top1_agreement, found.top_k_overlap, found.kl_max) == (1, 1, 0)
    assert (found.max_logit_error, found.first_flip, found.positions) == (0, None, 10)
    assert found.verdict.startswith("harmless here: no greedy token can flip")


def test_a_flip_is_found_where_it_is() -> None:
    reference = np.zeros((2, 3, 4), np.float32)
    reference[..., 1] = 2
    ours = reference.copy()
    ours[1, 0, 3] = 3
    ours[1, 2, 3] = 3
    found = logits_impact(ours, reference)
    assert found.first_flip == (1, 0)
    assert found.top1_agreement == pytest.approx(4 / 6)
    assert found.margin_min == 2
    assert found.max_logit_error == 3
    assert found.verdict == (
        "matters: greedy decoding picks another token at 2 of 6 positions, first at [1, 0]"
    )


def test_without_a_flip_the_margin_says_whether_one_was_possible() -> None:
    reference = np.float32([[0, 1.0]])
    assert logits_impact(reference + np.float32([0.4, 0]), reference).verdict == (
        "harmless here: no greedy token can flip (largest logit error 0.4, smallest margin 1)"
    )
    assert logits_impact(reference + np.float32([0.6, 0]), reference).verdict == (
        "no greedy token flips here, but one could (largest logit error 0.6, smallest margin 1)"
    )


def test_divergence_is_that_of_the_two_distributions() -> None:
    found = logits_impact(np.float64([[0, math.log(3)]]), np.float64([[0, 0]]))
    # (1/2, 1/2) against (1/4, 3/4)
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert found.kl_mean == pytest.approx(expected)
    assert found.kl_max == pytest.approx(expected)


def test_divergence_does_not_see_a_constant() -> None:
    logits = np.float64([[1.0, 2.0, 3.0]])
    assert logits_impact(logits + 100, logits).kl_max == pytest.approx(0, abs=1e-12)


def test_overlap_counts_the_references_top_tokens() -> None:
    reference = np.arange(20, dtype=np.float32)[None]
    ours = reference.copy()
    ours[0, :3] = 100  # three from the bottom push three out of the top ten
    assert logits_impact(ours, reference).top_k_overlap == pytest.approx(0.7)


def test_ties_go_to_the_smaller_id() -> None:
    reference = np.float32([[1, 1, 0]])
    assert logits_impact(np.float32([[1, 0.5, 0]]), reference).first_flip is None
    assert logits_impact(np.float32([[0.5, 1, 0]]), reference).first_flip == (0,)


def test_bfloat16_and_many_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of the work join to the same figures as the whole."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 7, 40)).astype(ml_dtypes.bfloat16)
    b = (a.astype(np.float32) + 0.3 * rng.standard_normal(a.shape)).astype(ml_dtypes.bfloat16)
    whole = logits_impact(b, a)
    monkeypatch.setattr(impact, "_ROWS", 2)
    pieces = logits_impact(b, a)
    assert pieces.first_flip == whole.first_flip
    assert pieces.kl_mean == pytest.approx(whole.kl_mean)
    top = a.astype(np.float32).argmax(-1) == b.astype(np.float32).argmax(-1)
    assert whole.top1_agreement == pytest.approx(top.mean())
    assert whole.first_flip == tuple(np.argwhere(~top)[0])


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((2, 1), (2, 1)), ((), ())])
def test_what_are_no_logits_is_refused(shapes: tuple) -> None:
    with pytest.raises(ValueError, match="logits must be of one shape"):
        logits_impact(*(np.zeros(shape, np.float32) for shape in shapes))
