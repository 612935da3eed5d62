"""Weights loaded wrongly are said to be that; kept in another order and used so they are right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places, said

from parity.explain import causes
from parity.explain.weights import order_of, rounded_to

R = np.random.default_rng(7)


def normal(*shape):
    return jnp.asarray(R.standard_normal(shape) / 4, jnp.float32)


W = {"a": normal(12, 12), "b": normal(24, 12), "q": normal(12, 12), "gate_up": normal(48, 12)}
X = 4 * normal(2, 5, 12)


def reference(x):
    h = jnp.tanh(x @ W["a"].T)
    q = (x @ W["q"].T).reshape(2, 5, 3, 4)
    gate, up = jnp.split(x @ W["gate_up"].T, 2, -1)
    return h, h @ W["b"].T, jnp.einsum("bthd,bshd->bhts", q, q), jax.nn.silu(gate) * up


class Port:
    def __init__(self, weights):
        self.weights = weights

    def __call__(self, x):
        w = self.weights
        h = jnp.tanh(jnp.einsum("bti,oi->bto", x, w["a"]))
        q = jnp.einsum("bti,hdi->bthd", x, w["q"].reshape(3, 4, 12))
        g = jnp.einsum("bti,goi->gbto", x, w["gate_up"].reshape(2, 24, 12))
        y = jnp.einsum("bto,po->btp", h, w["b"])
        return h, y, jnp.einsum("bqhd,bkhd->bhqk", q, q), g[0] * jax.nn.sigmoid(g[0]) * g[1]


WRONG = {
    "transposed": ("a", W["a"].T, "h =", "transposed"),
    "heads by turns": (
        "q",
        W["q"].reshape(3, 4, 12).swapaxes(0, 1).reshape(12, 12),
        "q =",
        "with axis 0 by turns of 3, not part after part",
    ),
    "halves": (
        "gate_up",
        jnp.roll(W["gate_up"], 24, 0),
        "g =",
        "with halves exchanged along axis 0",
    ),
    "rounded": ("b", W["b"].astype(jnp.bfloat16).astype(jnp.float32), "y =", "to bfloat16"),
    "another": ("b", W["b"] + 0.1, "y =", "is none of the reference's values"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_an_array_is_said(case: str) -> None:
    name, array, text, words = WRONG[case]
    explained = causes(Port(W | {name: array}), reference, X)
    assert places(explained, __file__) == [line_of(Port.__call__, text)]
    assert words in said(explained)
    assert explained.causes[0].findings[0].confidence == "high"


def test_two_arrays_are_told_one_by_one() -> None:
    wrong = W | {
        name: WRONG[case][1] for case, name in (("transposed", "a"), ("halves", "gate_up"))
    }
    found = places(causes(Port(wrong), reference, X), __file__)
    assert found == [line_of(Port.__call__, "h ="), line_of(Port.__call__, "g =")]


def test_an_array_kept_in_another_order_and_used_so_is_right() -> None:
    a, b = W["a"].T, W["b"].reshape(2, 12, 12).swapaxes(0, 1)

    def port(x):
        h = jnp.tanh(jnp.einsum("bti,io->bto", x, a))
        q = jnp.einsum("bti,hdi->bthd", x, W["q"].reshape(3, 4, 12))
        g = jnp.einsum("bti,goi->gbto", x, W["gate_up"].reshape(2, 24, 12))
        y = jnp.einsum("bto,pgo->btgp", h, b).reshape(2, 5, 24)
        return h, y, jnp.einsum("bqhd,bkhd->bhqk", q, q), jax.nn.silu(g[0]) * g[1]

    assert causes(port, reference, X).causes == []


@pytest.mark.parametrize(
    ("own", "wanted", "words"),
    [
        (np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3).T, "transposed"),
        (np.arange(4.0), np.arange(4.0)[::-1], "reversed along axis 0"),
        (np.float64([3, 1, 2, 5]), np.float64([5, 3, 2, 1]), "with elements in other places"),
    ],
)
def test_an_order_in_words(own: np.ndarray, wanted: np.ndarray, words: str) -> None:
    assert order_of(own, wanted) == words


def test_a_dtype_that_explains_nothing_is_not_named() -> None:
    wanted = np.float64([1 / 3, 0.1])
    assert rounded_to(wanted.astype(jnp.bfloat16).astype(np.float64), wanted) == "bfloat16"
    assert rounded_to(wanted + 0.1, wanted) == ""
    assert rounded_to(wanted[:1], wanted) == ""
