"""An edit of one operation that makes a wrong value the wanted one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.explain.content import Contents
from parity.explain.edits import repairing
from parity.explain.match import Matcher
from parity.explain.operands import Operands
from parity.explain.replay import replay
from parity.explain.slices import from_data, slice_of
from parity.explain.trial import Budget, Trial
from parity.program.jaxprs import Widening

X = np.random.default_rng(0).uniform(0.5, 2, (3, 4, 5))


def edit_of(ours, wanted):
    """The edit that turns one function of X into the other."""
    with jax.enable_x64(True):
        graph = replay(ours, (jnp.asarray(X),), "ours", wide=Widening("float64"))
        (value,) = graph.outputs.values()
        cone = slice_of(graph.nodes, [value], lambda v: v.node is None)
        target = replay(wanted, (jnp.asarray(X),), "the reference", wide=Widening("float64"))
        theirs = slice_of(target.nodes, target.outputs.values(), lambda v: v.node is None)
        known = {id(v) for v in graph.inputs}
        operands = Operands(graph, Matcher(target, Contents()), known, theirs, from_data(graph))
        (expected,) = target.outputs.values()
        return repairing(Trial(cone, value, expected.array, Budget(1e6)), operands)


CASES = {
    "with add for sub": (lambda x: jnp.sin(x - 2 * x), lambda x: jnp.sin(x + 2 * x)),
    "with cos for sin": (lambda x: jnp.sin(x) * x, lambda x: jnp.cos(x) * x),
    "with the operands of div exchanged": (lambda x: 1.5 / x, lambda x: x / 1.5),
    "along axis 2": (
        lambda x: x[..., :4].sum(1) * 2.5,
        lambda x: x[..., :4].sum(2) * 2.5,
    ),
    "divided by its sum": (lambda x: jnp.exp(x) * 3, lambda x: jax.nn.softmax(x, -1) * 3),
    "with the other sign": (lambda x: jnp.sin(x) * 1.7, lambda x: jnp.sin(-x) * 1.7),
    "with 1e-06 for 0.001": (
        lambda x: x / jnp.sqrt(x.mean() + 1e-3),
        lambda x: x / jnp.sqrt(x.mean() + 1e-6),
    ),
    "with 500000 for 10000": (lambda x: 1e4 ** (-x / 3), lambda x: 5e5 ** (-x / 3)),
    "without mul": (lambda x: jnp.tanh(x * jnp.cos(x)), lambda x: jnp.tanh(x)),
}


@pytest.mark.parametrize("words", CASES)
def test_what_should_have_been_written_is_found(words: str) -> None:
    edit = edit_of(*CASES[words])
    assert edit is not None
    assert edit.words == words


def test_a_round_number_is_preferred() -> None:
    """Of two that would do, people write the one with fewer digits."""
    edit = edit_of(lambda x: 1e4 ** (-x / 3), lambda x: 5e5 ** (-x / 3))
    assert edit is not None
    assert edit.constant is not None
    assert edit.constant[0] == pytest.approx(5e5)


def test_where_no_single_edit_will_do_there_is_none() -> None:
    assert edit_of(lambda x: jnp.sin(x) * 2.3, lambda x: jnp.sort(x, 1) ** 3 + 0.17) is None
