"""The table of rules as a whole, and what is said of operations that it lacks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bounds_for_tests import perturbed, samples
from jax import lax

from parity.program.bounded import Bounded
from parity.program.bounds import Bounds, RunningError
from parity.program.error_rules import COMPLEX, EXACT, RULES
from parity.program.jaxprs import evaluate
from parity.program.rules import flow
from parity.program.stages import Stage
from parity.trace.frames import Trace
from parity.trace.manifest import Manifest

NOTHING_INJECTED = Trace(Manifest("nothing"), [], lambda spec: np.zeros(spec.shape))


def bounds_of(fn: Any, *args: Any) -> tuple[dict[str, Any], dict[str, frozenset[str]]]:
    """Of each tap, and the operations without a rule that it depends on."""
    bounds = Bounds("float64")
    return bounds.on(Stage("part.", "whole", fn, args), NOTHING_INJECTED), bounds.unknown


def test_the_tables_fit_together() -> None:
    # Which only a function of given bits is: it has no rule for bits in doubt.
    assert EXACT - set(RULES) == {"bitcast_convert_type"}
    assert set(RULES) >= COMPLEX
    assert not set(RULES) & set(flow.RULES)


def test_the_operation_without_a_rule_is_named_at_the_taps_after_it() -> None:
    def model(x: Any, *, tap: Any) -> Any:
        x = tap("before", jnp.tanh(x))
        y = tap("after", lax.digamma(x) * 2)
        return tap("beside", x + 1) + tap("later", lax.lgamma(x) + y)

    bounds, unknown = bounds_of(model, jnp.ones(3))
    assert unknown == {
        "part.before": frozenset(),
        "part.beside": frozenset(),
        "part.after": {"digamma"},
        "part.later": {"digamma", "lgamma"},
    }
    finite = {name for name, pair in bounds.items() if np.isfinite(pair).all()}
    assert finite == {"part.before", "part.beside"}


def in_a_scan(x: Any) -> Any:
    return lax.scan(lambda c, row: (c + 1, c * lax.lgamma(row)), x[0], x)[1]


def in_what_a_scan_carries(x: Any) -> Any:
    return lax.scan(lambda c, row: (lax.lgamma(c) + row, None), x[0], x)[0]


def in_a_while(x: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, lax.lgamma(s[1])), (0, x))[1]


def in_a_branch(x: Any) -> Any:
    return lax.cond(x.sum() > 0, lambda x: x, lax.lgamma, x)


@pytest.mark.parametrize("fn", [in_a_scan, in_what_a_scan_carries, in_a_while, in_a_branch])
def test_it_is_named_from_inside_of_loops_and_branches(fn: Any) -> None:
    _, unknown = bounds_of(lambda x, *, tap: tap("out", fn(x)), jnp.ones((3, 2)))
    assert unknown["part.out"] == {"lgamma"}


def test_a_second_stage_of_a_kind_has_names_too() -> None:
    bounds = Bounds("float64")
    for prefix in ("blocks.0.", "blocks.1."):
        stage = Stage(prefix, "block", lambda x, *, tap: tap("out", lax.lgamma(x)), (jnp.ones(2),))
        bounds.on(stage, NOTHING_INJECTED)
    assert bounds.unknown == {f"blocks.{n}.out": {"lgamma"} for n in (0, 1)}


def test_integers_without_a_rule_are_exact_unless_in_doubt() -> None:
    def bits(x: Any) -> Any:
        return lax.population_count(x.astype(jnp.int32))

    for last, known in ((2.5, True), (2.95, False)):
        _, (bound,) = perturbed(bits, [np.array([1.5, last])], [np.full(2, 0.1)], 0)
        assert np.isfinite(bound).all() == known


def test_complex_numbers_need_a_rule_of_their_own() -> None:
    program = jax.make_jaxpr(lambda x: jnp.real(jnp.tanh(lax.complex(x, x))))(jnp.ones(2))
    rule = RunningError("float32")
    (out,) = evaluate(program, [rule.exact(jnp.ones(2))], rule, rule.constant)
    assert np.isinf(out.bound).all()
    assert out.unknown == {"tanh"}


def test_random_numbers_are_drawn_exactly() -> None:
    def noisy(x: Any, *, tap: Any) -> Any:
        return tap("out", jax.random.uniform(jax.random.key(0), x.shape))

    ((bound, _),) = bounds_of(noisy, jnp.ones(50))[0].values()
    # Of a float in [1, 2) that is made of bits, 1 is taken.
    assert (bound <= 16 * 2.0**-24).all()


def test_an_exact_input_is_exact_after_all_that_only_chooses() -> None:
    def chosen(x: Any) -> Any:
        x = jnp.sort(jnp.where(x > 0, x, -jnp.inf))[::-1].reshape(2, 3)
        x = jnp.clip(lax.cummax(x, axis=1), -1.0, 1.0).at[0].set(jnp.floor(x[1]))
        return lax.top_k(x[jnp.argmax(x, 0)], 2)

    program = jax.make_jaxpr(chosen)(jnp.ones(6))
    rule = RunningError("float32")
    outputs = evaluate(program, [Bounded(samples(0, 6))], rule, rule.constant)
    assert [out.error for out in outputs] == [None, None]
