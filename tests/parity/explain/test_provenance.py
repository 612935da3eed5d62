"""Where an array was made that a traced program holds as a constant."""

import jax.numpy as jnp
import numpy as np
from explanations_for_tests import line_of

from parity.explain.location import Location
from parity.explain.provenance import Provenance

X = jnp.asarray(np.random.default_rng(2).standard_normal((2, 3, 7, 7)), jnp.float32)


def slopes(heads, first):
    return np.exp2(-8.0 * (np.arange(heads) + first) / heads)


def table(first):
    return jnp.asarray(np.multiply.outer(slopes(3, first), np.arange(7)), jnp.float32)


def biased(x, first=0.5):
    rows = table(first)[:, None]
    return jnp.tanh(x + rows)


def test_a_table_of_numpy_is_named_where_it_was_made() -> None:
    where = Provenance(biased, (X,)).array(np.asarray(table(0.5)).T)
    assert where is not None
    assert where.place == (__file__, line_of(table, "return jnp.asarray"))


def test_a_function_of_the_model_that_returns_it_is_where_it_was_made() -> None:
    where = Provenance(biased, (X,)).array(slopes(3, 0.5))
    assert where is not None
    assert where.place == (__file__, line_of(slopes, "return"))


def test_what_nobody_made_has_no_place() -> None:
    assert Provenance(biased, (X,)).array(np.ones((3, 7)) * 5) is None


def test_a_function_that_raises_the_second_time_is_no_error() -> None:
    def raises(x):
        raise ValueError("no")

    assert Provenance(raises, (X,)).array(np.ones(3)) is None


def scaled(x):
    depth = x.shape[-1]
    scale = depth**-0.5
    again = 7**-0.5
    return jnp.tanh(x * scale) * 0.25, again


def test_a_number_that_python_computed_is_named_where_it_was() -> None:
    """By the variable that the statement reads, not by another of the same number."""
    used = Location(__file__, line_of(scaled, "return"), "scaled")
    where = Provenance(scaled, (X,)).number(7**-0.5, used)
    assert where is not None
    assert where.line == line_of(scaled, "scale = depth")


def test_a_number_written_where_it_is_used_has_no_other_place() -> None:
    used = Location(__file__, line_of(scaled, "return"), "scaled")
    assert Provenance(scaled, (X,)).number(0.25, used) is None
