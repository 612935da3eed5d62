"""A model of pieces is explained piece by piece, whatever its taps are called."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places, said

from parity.explain.explanation import Explanation
from parity.explain.regions import Choices, explain_regions
from parity.program.stages import Stage
from parity.sides.function import FunctionSide
from parity.trace.manifest import Manifest
from parity.verdict.grouping import Grouping, Place, grouped
from parity.verdict.run import recorded

R = np.random.default_rng(0)
LAYERS = range(4)
X = jnp.asarray(R.standard_normal((6, 16)), jnp.float32)
W = [jnp.asarray(R.standard_normal((16, 16)) / 4, jnp.float32) for _ in LAYERS]


def layer(w, x, factor: float, tap):
    h = tap("mlp", jnp.tanh(x @ w) * factor)
    return tap("output", h + x)


def stages_of(factors) -> list[Stage]:
    """Those of one factor are of one kind."""
    found = []
    for i, factor in zip(LAYERS, factors, strict=True):
        source = f"layers.{i - 1}.output" if i else None
        args = (W[i],) if i else (W[i], X)
        kind = f"layer {factor}" if i else "first"
        fn = functools.partial(layer, factor=factor)
        found.append(Stage(f"layers.{i}.", kind, fn, args, source))
    return found


def side(label: str, factors=(0.5,) * 4) -> FunctionSide:
    def fn(x, tap):
        for i, factor in zip(LAYERS, factors, strict=True):
            inner = functools.partial(lambda name, value, i: tap(f"layers.{i}.{name}", value), i=i)
            x = layer(W[i], x, factor, inner)
        return x

    return FunctionSide(label, fn, (X,), Manifest("test"), stages=stages_of(factors))


def explained(ours: FunctionSide, reference: FunctionSide | None = None, **kwargs) -> Explanation:
    reference = reference or side("the reference")
    with recorded(reference, lambda _: None) as trace:
        return explain_regions(ours, reference, trace, **kwargs)


def test_a_fault_in_every_layer_is_one_cause_with_the_rows_where_it_is_seen() -> None:
    explanation = explained(side("ours", (0.7,) * 4))
    assert not explanation.agrees
    assert places(explanation, __file__) == [line_of(layer, "* factor")]
    assert "mul of float32[6, 16]: 96 of 96 differ, by up to" in said(explanation)
    assert "0.7 where the reference has 0.5" in said(explanation)
    assert explanation.causes[0].elsewhere == "seen at mlp of 4 layers: 0, 1, 2, 3"


def test_rows_are_called_what_the_subject_calls_them() -> None:
    def by_floor(taps) -> Grouping:
        return grouped("floor", {tap: Place(tap.split(".")[1], "x") for tap in taps})

    one = explained(side("ours", (0.5, 0.5, 0.7, 0.5)), grouping=by_floor)
    assert one.causes[0].elsewhere == "seen at mlp of floor 2"
    two = explained(side("ours", (0.5, 0.7, 0.7, 0.5)), grouping=by_floor)
    assert two.causes[0].elsewhere == "seen at mlp of 2 floors: 1, 2"


def test_equal_models_agree() -> None:
    explanation = explained(side("ours"))
    assert explanation.agrees
    assert str(explanation) == "no operation of ours departs from the reference"


def test_what_a_choice_removes_is_attributed_to_it() -> None:
    choices = Choices(
        {"factor=0.9": {"factor": 0.9}, "factor=0.5": {"factor": 0.5}},
        lambda changes: stages_of((changes["factor"],) * 4),
    )
    (cause,) = explained(side("ours", (0.7,) * 4), choices=choices).causes
    assert cause.attribution is not None
    assert (cause.attribution.explained, cause.attribution.choice) == (True, "factor=0.5")


def test_ways_of_compiling_are_not_asked_to_explain_a_formula() -> None:
    (cause,) = explained(side("ours", (0.7,) * 4)).causes
    assert cause.kind == "formula"
    assert cause.attribution is None


def test_a_piece_that_the_reference_cuts_otherwise_is_said_to_have_no_partner() -> None:
    reference = side("the reference")
    first, *rest = reference.stages
    cut = dataclasses.replace(first, taps=("layers.0.mlp", "layers.0.output"))
    reference.stages = [cut, *rest]
    explanation = explained(side("ours", (0.7, 0.5, 0.5, 0.5)), reference)
    assert not explanation.agrees
    assert explanation.causes == []
    assert explanation.notes == ["layers.0: differs, and the reference has no piece of these taps"]


def whole(label: str, factor: float) -> FunctionSide:
    def fn(x, tap):
        h = tap("hidden", jax.nn.silu(x) * factor)
        return tap("out", h @ W[0])

    return FunctionSide(label, fn, (X,), Manifest("test"))


def test_a_side_without_pieces_is_one() -> None:
    explanation = explained(whole("ours", 0.7), whole("the reference", 0.5))
    assert [cause.where.text for cause in explanation.causes] == [
        'h = tap("hidden", jax.nn.silu(x) * factor)'
    ]
    assert explanation.causes[0].elsewhere == "seen at hidden"


@pytest.mark.parametrize("factor", [0.5, 0.7])
def test_progress_tells_what_is_replayed(factor: float) -> None:
    told: list[str] = []
    explained(side("ours", (0.5, 0.5, factor, 0.5)), progress=told.append)
    assert any(line.startswith("layers.2: replaying, it differs at mlp") for line in told) == (
        factor != 0.5
    )
