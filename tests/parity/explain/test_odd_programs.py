"""Legal programs that are rare: empty arrays, keys, integers, complex numbers, loops, infinity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.explain import causes

X = jnp.asarray(np.random.default_rng(0).standard_normal((3, 8)), jnp.float32)
Q = (40 * X).astype(jnp.int8)
A = 3 * jnp.eye(8) + 1


def product(q):
    form = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(q, q, form, preferred_element_type=jnp.int32)


SAME = {
    "a contraction over nothing": (
        lambda x: x[:, :0] @ x[:, :0].T,
        lambda x: jnp.einsum("ij,kj->ik", x[:, :0], x[:, :0]),
    ),
    "the greatest of nothing": (
        lambda x: jax.nn.logsumexp(x[:0], axis=-1),
        lambda x: jnp.log(jnp.exp(x[:0]).sum(-1)),
    ),
    "a scan without turns": (
        lambda x: jax.lax.scan(lambda c, r: (c + r, c * r), x[0], x[:0]),
        lambda x: (x[0] * 1, x[:0] * 2),
    ),
    "a solver": (lambda x: jnp.linalg.solve(A, x.T), lambda x: jnp.linalg.inv(A) @ x.T),
}


@pytest.mark.parametrize("case", SAME)
def test_they_are_no_other_formula(case: str) -> None:
    assert causes(*SAME[case], X).same_formula


def test_sums_of_integers_are_as_wide_as_they_are_said_to_be() -> None:
    found = causes(product, lambda q: q.astype(jnp.int32) @ q.astype(jnp.int32).T, Q)
    assert found.agrees


def test_random_keys_are_given_like_any_array() -> None:
    found = causes(lambda k, x: x * 2, lambda k, x: x + x, jax.random.key(0), X)
    assert found.agrees


def test_quotients_of_complex_numbers() -> None:
    found = causes(lambda x: (x + 1j) / (x - 2j), lambda x: (x + 1j) * (1 / (x - 2j)), X)
    assert found.same_formula


def test_large_outputs_are_numbers_and_not_masks() -> None:
    def large(x):
        return jnp.exp(9 * x + 25)

    assert not causes(lambda x: large(x).sum(-1), lambda x: large(x).mean(-1), X).harmless
    assert not causes(lambda x: -large(x), large, X).harmless


def test_what_overflows_on_one_side_is_not_harmless() -> None:
    def naive(x):
        return jnp.exp(20 * x) / jnp.exp(20 * x).sum(-1, keepdims=True)

    found = causes(naive, lambda x: jax.nn.softmax(20 * x, -1), X.astype(jnp.float16))
    assert found.same_formula
    assert not found.harmless
    assert "is infinite or NaN where the reference is not" in str(found).replace("\n", " ")


def test_loops_that_are_not_run_turn_by_turn_are_refused() -> None:
    rows = jax.vmap(lambda v: jax.lax.while_loop(lambda c: c.sum() < 5, lambda c: c + 1, v))
    with pytest.raises(RequestError, match="a while loop under vmap"):
        causes(rows, rows, X)

    def long(x):
        return jax.lax.while_loop(
            lambda c: c[0] < 1e9, lambda c: (c[0] + 1, c[1] * 0.999), (0.0, x)
        )[1]

    with pytest.raises(RequestError, match="more than 2,000 turns"):
        causes(long, lambda x: x * 0, X)
