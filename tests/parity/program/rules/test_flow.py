"""Loops and branches carry bounds as the same program without them does."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import (
    DTYPES,
    Case,
    bounding,
    check_another_exceeds,
    check_within,
    perturbed,
    samples,
    third,
)
from jax import lax


def layers(x: Any, w: Any, epsilon: float = 1e-2) -> Any:
    def layer(x: Any, w: Any) -> Any:
        x = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon)
        return jnp.tanh(x @ w), None

    return lax.scan(layer, x, w)[0]


def unrolled_layers(x: Any, w: Any) -> Any:
    for each in w:
        x = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-2)
        x = jnp.tanh(x @ each)
    return x


def recurrence(x: Any, decay: float = 0.9) -> Any:
    def combine(a: Any, b: Any) -> Any:
        return a[0] * b[0], b[0] * a[1] + b[1]

    decays = jnp.full_like(x, decay)
    return lax.associative_scan(combine, (decays, third(x)), axis=1)[1]


def stepped_recurrence(x: Any) -> Any:
    def step(state: Any, row: Any) -> Any:
        state = jnp.asarray(0.9, x.dtype) * state + row
        return state, state

    return lax.scan(step, jnp.zeros_like(x[:, 0]), third(x).T)[1].T


def halved(x: Any, turns: int = 3) -> Any:
    return lax.while_loop(lambda s: s[0] < turns, lambda s: (s[0] + 1, third(s[1]) + 1), (0, x))[1]


def branched(x: Any, index: int = 1) -> Any:
    branches = [lambda v: v * 3, lambda v: v / 3, lambda v: v]
    return lax.switch(jnp.asarray(index) + jnp.argmax(jnp.arange(3) == 5), branches, third(x))


CASES = {
    "scan": Case(layers, lambda x, w: -layers(x, w), ((4, 8), (3, 8, 8)), (unrolled_layers,)),
    "associative scan": Case(
        recurrence, lambda x: recurrence(x, 0.8), ((2, 9),), (stepped_recurrence,)
    ),
    "while": Case(halved, lambda x: halved(x, 4)),
    "branch": Case(branched, lambda x: branched(x, 2)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_computed_stays_within(name: str, dtype: str) -> None:
    check_within(CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_another_formula_does_not(name: str, dtype: str) -> None:
    check_another_exceeds(CASES[name], dtype)


def nested(x: Any, w: Any) -> Any:
    """A scan in a scan, in reverse, with what each turn shows."""

    def outer(x: Any, w: Any) -> Any:
        x, shown = lax.scan(lambda x, row: (x + row, x * row), x, w)
        return third(x), shown.sum(0)

    return lax.scan(outer, x, w, reverse=True)[1].sum(0)


def nested_unrolled(x: Any, w: Any) -> Any:
    total = []
    for each in reversed(w):
        shown = []
        for row in each:
            shown.append(x * row)
            x = x + row
        x = third(x)
        total.append(jnp.stack(shown).sum(0))
    return jnp.stack(total[::-1]).sum(0)


@pytest.mark.parametrize(
    ("looped", "unrolled", "shapes"),
    [(layers, unrolled_layers, ((4, 8), (3, 8, 8))), (nested, nested_unrolled, ((5,), (4, 3, 5)))],
    ids=["layers", "nested"],
)
def test_a_scan_has_the_bounds_of_its_turns(looped: Any, unrolled: Any, shapes: Any) -> None:
    arguments = Case(looped, looped, shapes).arguments("bfloat16", 0)
    _, bound = bounding(looped, *arguments)(*arguments)
    _, expected = bounding(unrolled, *arguments)(*arguments)
    assert bound.max() > 0
    np.testing.assert_allclose(bound, expected, rtol=1e-9)


def test_what_a_loop_carries_exactly_stays_exact() -> None:
    def counted(x: Any) -> Any:
        def turn(i: Any, state: Any) -> Any:
            x, place = state
            return third(x), (place * 5 + 3) % 7

        return jnp.ones(7)[lax.fori_loop(0, 4, turn, (x, 0))[1]]

    _, bound = bounding(counted, jnp.ones(2))(jnp.ones(2))
    assert bound == 0


def test_a_carry_whose_first_value_is_exact_gets_a_bound() -> None:
    def summed(x: Any) -> Any:
        return lax.scan(lambda total, row: (total + row, None), jnp.zeros(3), third(x))[0]

    x = samples(0, 4, 3)
    _, bound = bounding(summed, x)(x)
    assert (bound > 2.0**-24 * np.abs(np.asarray(x) / 3).sum(0)).all()


@pytest.mark.parametrize(("start", "known"), [(0.5, True), (0.95, False), (1.05, False)])
def test_how_often_a_loop_turns_must_be_certain(start: float, known: bool) -> None:
    """From 0.95 ± 0.1 it may take a turn more than from there; from 1.05 ± 0.1, one fewer."""

    def grown(x: Any) -> Any:
        return lax.while_loop(lambda x: x < 1, lambda x: x + 3, x)

    _, (bound,) = perturbed(grown, [np.array(start)], [np.array(0.1)], 0)
    assert np.isfinite(bound) == known


@pytest.mark.parametrize(("x", "known"), [(1.0, True), (0.05, False)])
def test_which_branch_is_taken_must_be_certain(x: float, known: bool) -> None:
    def chosen(x: Any) -> Any:
        return lax.cond(x > 0, lambda v: v * 2, lambda v: v, x), jnp.sign(x)

    _, (bound, _) = perturbed(chosen, [np.array(x)], [np.array(0.1)], 0)
    assert np.isfinite(bound) == known


def test_a_branch_that_is_exact_joins_one_that_is_not() -> None:
    def chosen(x: Any, n: Any) -> Any:
        return lax.cond(n > 0, third, lambda v: v, x)

    bounded = bounding(chosen, jnp.ones(2), jnp.int32(1))
    np.testing.assert_array_equal(bounded(jnp.ones(2), jnp.int32(0))[1], 0)
    assert (bounded(jnp.ones(2), jnp.int32(1))[1] > 0).all()


def test_under_vmap_loops_turn_for_each_example() -> None:
    def grown(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, third(s[1])), (0, x))[1]

    def halved_while(x: Any) -> Any:
        return lax.while_loop(lambda x: jnp.any(x > 1), lambda x: jnp.where(x > 1, x / 2, x), x)

    x = jnp.array([5.5, 0.3, 100.7])
    for fn in (jax.vmap(grown), halved_while, jax.vmap(halved_while)):
        value, bound = bounding(fn, x)(x)
        assert np.isfinite(bound).all()
        assert (np.abs(np.asarray(fn(x)) - value) <= bound).all()
