"""Mixtral's balancing loss; router shares are averaged over experts, not tokens (transformers #28093)."""

import jax
import jax.numpy as jnp
import numpy as np

EXPERTS, CHOSEN, WIDTH, INNER = 6, 2, 24, 16


def inputs():
    r = np.random.default_rng(311)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"gate": 2 * n(EXPERTS, WIDTH), "w1": n(EXPERTS, INNER, WIDTH), "w3": n(EXPERTS, INNER, WIDTH)}
    params["w2"] = n(EXPERTS, WIDTH, INNER)
    return params, jnp.asarray(r.normal(size=(2, 8, WIDTH)) + 0.4, jnp.float32)


def reference(params, x):
    tokens = x.reshape(-1, WIDTH)
    probs = jax.nn.softmax(tokens @ params["gate"].T, axis=-1)
    weights, selected = jax.lax.top_k(probs, CHOSEN)
    weights = weights / weights.sum(-1, keepdims=True)
    out = jnp.zeros_like(tokens)
    for e in range(EXPERTS):
        hidden = jax.nn.silu(tokens @ params["w1"][e].T) * (tokens @ params["w3"][e].T)
        share = jnp.where(selected == e, weights, 0).sum(-1, keepdims=True)
        out = out + (hidden @ params["w2"][e].T) * share
    mask = jax.nn.one_hot(selected, EXPERTS, dtype=x.dtype)
    tokens_per_expert = mask.mean(0)
    prob_per_expert = probs.mean(0)
    loss = (tokens_per_expert * prob_per_expert[None]).sum() * EXPERTS
    return out.reshape(x.shape), loss


class Router:
    def __init__(self, kernel):
        self.kernel = kernel

    def demand(self, shares):
        return jnp.einsum("te->t", shares)[:, None] / EXPERTS  # FAULT

    def balance(self, shares, taken):
        load = jnp.einsum("te->e", taken) / len(taken)
        overlap = load * self.demand(shares)  # FAULT
        return EXPERTS * jnp.mean(jnp.sum(overlap, axis=-1))

    def __call__(self, tokens):
        logits = jnp.einsum("tw,ew->te", tokens, self.kernel)
        raised = jnp.exp(logits - logits.max(-1, keepdims=True))
        shares = raised / raised.sum(-1, keepdims=True)
        bar = jnp.sort(shares, axis=-1)[:, -CHOSEN][:, None]
        taken = (shares >= bar).astype(shares.dtype)
        kept = shares * taken
        return kept / kept.sum(-1, keepdims=True), self.balance(shares, taken)


class TokenMeanRouter(Router):
    def demand(self, shares):
        return jnp.einsum("te->e", shares) / len(shares)


def _expert(tokens, narrow, gated, wide):
    hidden = jnp.einsum("tw,iw->ti", tokens, narrow)
    hidden = hidden / (1 + jnp.exp(-hidden)) * jnp.einsum("tw,iw->ti", tokens, gated)
    return jnp.einsum("ti,wi->tw", hidden, wide)


def _layer(params, x, router):
    tokens = x.reshape(-1, WIDTH)
    combine, loss = router(tokens)
    outs = jax.vmap(_expert, (None, 0, 0, 0))(tokens, params["w1"], params["w3"], params["w2"])
    return jnp.einsum("etw,te->tw", outs, combine).reshape(x.shape), loss


def ours(params, x):
    return _layer(params, x, Router(params["gate"]))


def fixed(params, x):
    return _layer(params, x, TokenMeanRouter(params["gate"]))
