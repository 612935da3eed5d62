"""An operation that ours lacks is put in where it belongs."""

import jax
import jax.numpy as jnp
import numpy as np
from explanations_for_tests import line_of, places, said

from parity.explain import causes

R = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(R.standard_normal(shape), jnp.float32)


X = normal(2, 5, 6)
P = {name: normal(6, 6) / 6**0.5 for name in ("u", "b", "d", "o")} | {"r": normal(6, 3)}


def recurrence(p, x):
    step = jax.nn.softplus(x @ p["d"].T)
    u, b = x @ p["u"].T, x @ p["b"].T
    state, rows = jnp.zeros((2, 6)), []
    for t in range(5):
        state = jnp.exp(-step[:, t]) * state + step[:, t] * b[:, t] * u[:, t]
        rows.append(state)
    return jnp.stack(rows, 1) @ p["o"].T


def scanned(p, x):
    """The step is left out of what enters the state."""

    def turn(state, now):
        u, b, step = now
        driven = u * b
        state = state / jnp.exp(step) + driven
        return state, state

    u, b = jnp.einsum("bti,coi->ctbo", x, jnp.stack([p["u"], p["b"]]))
    step = jnp.logaddexp(jnp.einsum("bti,oi->tbo", x, p["d"]), 0)
    _, rows = jax.lax.scan(turn, jnp.zeros((2, 6)), (u, b, step))
    return jnp.einsum("tbo,io->bti", rows, p["o"])


def test_a_factor_missing_in_every_turn_of_a_loop_is_one_cause() -> None:
    explained = causes(scanned, recurrence, P, X, attribution=False)
    (cause,) = explained.causes
    assert cause.where.line == line_of(scanned, "driven = u * b")
    assert cause.findings[0].confidence == "high"
    assert "times the row" in said(explained)


def gated(p, x):
    return (jax.nn.sigmoid(x @ p["d"].T) * jnp.tanh(x @ p["u"].T)) @ p["o"].T


def ungated(p, x):
    inner = jnp.tanh(jnp.einsum("bti,oi->bto", x, p["u"]))
    return jnp.einsum("bto,io->bti", inner, p["o"])


def test_what_only_the_reference_makes_may_be_what_is_missing() -> None:
    explained = causes(ungated, gated, P, X, attribution=False)
    assert places(explained, __file__)[0] == line_of(ungated, "inner =")


def masked(p, x):
    kept = x[..., 0] > 0
    loss = jnp.square(x @ p["u"].T).mean(-1)
    return jnp.where(kept, loss, 0).sum() / kept.sum(), loss


def unmasked(p, x):
    kept = x[..., 0] > 0
    loss = jnp.einsum("bto,bto->bt", *2 * [jnp.einsum("bti,oi->bto", x, p["u"])]) / 6
    total = jnp.sum(loss)
    return total / jnp.sum(kept), loss


def test_a_mask_is_missing_where_it_would_be_used() -> None:
    explained = causes(unmasked, masked, P, X, attribution=False)
    assert places(explained, __file__) == [line_of(unmasked, "total =")]
