"""Which statement is named: where the slip was made, not where it shows."""

import jax
import jax.numpy as jnp
import numpy as np
from explanations_for_tests import line_of, places, said

from parity.explain import causes

R = np.random.default_rng(5)
X = jnp.asarray(R.standard_normal((2, 6, 12)), jnp.float32)
P = {k: jnp.asarray(R.standard_normal((12, 12)) / 12**0.5, jnp.float32) for k in "akvmo"}
P |= {k: jnp.asarray(1 + 0.2 * R.standard_normal(12), jnp.float32) for k in ("g1", "g2", "g3")}


def lines(ours, reference):
    return places(causes(ours, reference, P, X), __file__)


def norm(t, g):
    return jnp.einsum(
        "bti,i,bt->bti", t, g, jax.lax.rsqrt(jnp.einsum("bti,bti->bt", t, t) / 12 + 1e-6)
    )


def plain_norm(t, g):
    return g * t / jnp.sqrt(jnp.mean(t**2, -1, keepdims=True) + 1e-6)


def mixing_reference(p, x):
    h = plain_norm(x, p["g1"])
    scores = (h @ p["a"].T) @ jnp.swapaxes(h @ p["k"].T, 1, 2) / 12**0.5
    return x + jax.nn.softmax(scores, -1) @ (h @ p["v"].T) @ p["o"].T


def mixing(p, x, exchanged):
    h = norm(x, p["g1"])
    both = jnp.einsum("bti,oi->bto", h, jnp.concatenate([p["k"], p["v"]]))
    if exchanged:
        value = both[..., :12]
        key = both[..., 12:]
    else:
        key = both[..., :12]
        value = both[..., 12:]
    query = jnp.einsum("bti,oi->bto", h, p["a"])
    weights = jax.nn.softmax(jnp.einsum("bqi,bki->bqk", query * 12**-0.5, key), axis=-1)
    return jnp.einsum("bqi,oi->bqo", jnp.einsum("bqk,bki->bqi", weights, value), p["o"]) + x


def test_two_values_that_got_each_others_name_are_one_cause_where_they_got_it() -> None:
    assert lines(lambda p, x: mixing(p, x, False), mixing_reference) == []
    assert lines(lambda p, x: mixing(p, x, True), mixing_reference) == [
        line_of(mixing, "value = both[..., :12]")
    ]


def post_norm_reference(p, x):
    x = x + plain_norm(jnp.tanh(x @ p["a"].T) @ p["o"].T, p["g1"])
    return x + plain_norm(jax.nn.silu(x @ p["m"].T) @ p["v"].T, p["g2"])


def around(x, inner, g, before):
    if before:
        return x + inner(norm(x, g))
    return x + norm(inner(x), g)


def post_norm(p, x, before):
    def first(t):
        return jnp.einsum("bto,io->bti", jnp.tanh(jnp.einsum("bti,oi->bto", t, p["a"])), p["o"])

    def second(t):
        return jnp.einsum("bto,io->bti", jax.nn.silu(jnp.einsum("bti,oi->bto", t, p["m"])), p["v"])

    return around(around(x, first, p["g1"], before), second, p["g2"], before)


def test_a_norm_before_instead_of_after_is_named_where_it_is_called() -> None:
    assert lines(lambda p, x: post_norm(p, x, False), post_norm_reference) == []
    assert lines(lambda p, x: post_norm(p, x, True), post_norm_reference)[0] == line_of(
        around, "return x + inner(norm"
    )


def scaled_reference(p, x):
    h = jnp.tanh(plain_norm(x, p["g1"]) @ p["a"].T) @ p["o"].T
    h = p["g2"] * h
    return x + h


def branch(p, x):
    return jnp.einsum(
        "bto,io->bti", jnp.tanh(jnp.einsum("bti,oi->bto", norm(x, p["g1"]), p["a"])), p["o"]
    )


def joined(p, x, made):
    return made + x


def unscaled(p, x):
    return joined(p, x, branch(p, x))


def test_what_one_helper_hands_on_too_early_is_named_where_another_uses_it() -> None:
    assert lines(unscaled, scaled_reference) == [line_of(joined, "return")]


def two_norms_reference(p, x):
    y = jnp.tanh(plain_norm(x, p["g1"]) @ p["a"].T)
    return plain_norm(x, p["g2"]) @ p["m"].T + y @ plain_norm(x, p["g3"]).swapaxes(1, 2) @ x


class Norm:
    def __init__(self, gain):
        self.gain = gain

    def __call__(self, t):
        size = jnp.einsum("bti,bti->bt", t, t) / 12
        return t * jax.lax.rsqrt(size + 1e-6)[..., None] * self.gain


class Two:
    def __init__(self, p):
        self.first, self.second, self.third = Norm(p["g1"]), Norm(p["g2"]), Norm(p["g3"])

    def inputs(self, x):
        return self.first(x)

    def __call__(self, p, x):
        y = jnp.tanh(jnp.einsum("bti,oi->bto", self.first(x), p["a"]))
        mixed = jnp.einsum("bto,bso,bsi->bti", y, self.third(x), x)
        return jnp.einsum("bti,oi->bto", self.inputs(x), p["m"]) + mixed


def test_weights_of_another_object_are_named_where_that_is_called() -> None:
    assert lines(lambda p, x: Two(p)(p, x), two_norms_reference) == [
        line_of(Two.inputs, "return self.first")
    ]


def biased_reference(p, x):
    """The last four tokens are the queries."""
    scores = x[:, 2:] @ jnp.swapaxes(x @ p["k"], 1, 2) / 12**0.5
    slopes = 0.5 ** jnp.arange(1, 3)
    place = jnp.arange(6)
    far = place[None, :] - place[2:, None]
    scores = scores[None] + (slopes[:, None, None] * far)[:, None]
    return jax.nn.softmax(scores, -1) @ x


def offset(query, key):
    return query - key


def biased(p, x):
    scores = jnp.einsum("bqi,ji,bkj->bqk", x[:, 2:], p["k"], x * 12**-0.5)
    bias = jax.vmap(lambda slope: slope * offset(jnp.arange(2, 6)[:, None], jnp.arange(6)))(
        jnp.asarray([0.5, 0.25])
    )
    weights = jnp.exp(jax.nn.log_softmax(scores[None] + bias[:, None], axis=-1))
    return jnp.einsum("hbqk,bki->hbqi", weights, x)


def test_a_difference_taken_the_wrong_way_round_is_named_not_where_it_is_added() -> None:
    explained = causes(biased, biased_reference, P, X)
    assert places(explained, __file__) == [line_of(offset, "return")]
    assert "with the operands of sub exchanged" in said(explained)


def logits_reference(p, x):
    h = plain_norm(x, p["g1"]) @ p["m"].T
    return jax.nn.log_softmax(h @ p["a"].T * 0.0625, -1)


def logits(p, x):
    hidden = jnp.einsum("bti,oi->bto", norm(x, p["g1"]), p["m"])
    here = jnp.einsum("bti,oi->bto", hidden, p["a"])
    return here - jax.nn.logsumexp(here, axis=-1, keepdims=True)


def test_a_scale_that_is_missing_is_told_with_its_number() -> None:
    explained = causes(logits, logits_reference, P, X)
    assert places(explained, __file__) == [line_of(logits, "here =")]
