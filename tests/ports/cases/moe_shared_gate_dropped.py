"""Mixture of experts; the shared expert's sigmoid gate is left out (NousResearch/torchtitan #36)."""

import jax
import jax.numpy as jnp
import numpy as np

EXPERTS, CHOSEN = 5, 2


def inputs():
    r = np.random.default_rng(106)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"router": 2 * n(EXPERTS, 28), "shared_gate": n(1, 28)}
    params |= {"gate": n(EXPERTS, 18, 28), "up": n(EXPERTS, 18, 28), "down": n(EXPERTS, 28, 18)}
    params |= {"s_gate": n(34, 28), "s_up": n(34, 28), "s_down": n(28, 34)}
    return params, jnp.asarray(r.normal(size=(3, 7, 28)), jnp.float32)


def reference(params, x):
    def mlp(t, gate, up, down):
        return (jax.nn.silu(t @ gate.T) * (t @ up.T)) @ down.T

    flat = x.reshape(-1, x.shape[-1])
    weights = jax.nn.softmax(flat @ params["router"].T, axis=-1)
    weights, index = jax.lax.top_k(weights, CHOSEN)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    result = jax.nn.sigmoid(flat @ params["shared_gate"].T)
    result = result * mlp(flat, params["s_gate"], params["s_up"], params["s_down"])
    for slot in range(CHOSEN):
        for e in range(EXPERTS):
            share = jnp.where(index[:, slot] == e, weights[:, slot], 0)[:, None]
            result = result + share * mlp(flat, params["gate"][e], params["up"][e], params["down"][e])
    return result.reshape(x.shape)


class FeedForward:
    def __init__(self, gate, up, down):
        self.inner, self.outer = jnp.stack([gate, up], axis=-2), down

    def __call__(self, t):
        gate, up = jnp.einsum("...m,fgm->g...f", t, self.inner)
        return jnp.einsum("...f,mf->...m", up * gate / (1 + jnp.exp(-gate)), self.outer)


class SparseBlock:
    def __init__(self, params, gated):
        self.params, self.gated = params, gated
        self.shared = FeedForward(params["s_gate"], params["s_up"], params["s_down"])

    def combine(self, t):
        """[tokens, experts]: the chosen logits' softmax, zero elsewhere."""
        logits = jnp.einsum("bsm,em->bse", t, self.params["router"])
        lowest = jax.lax.top_k(logits, CHOSEN)[0][..., -1:]
        return jax.nn.softmax(jnp.where(logits >= lowest, logits, -jnp.inf))

    def routed(self, t):
        run = lambda gate, up, down: FeedForward(gate, up, down)(t)
        each = jax.vmap(run)(self.params["gate"], self.params["up"], self.params["down"])
        return jnp.einsum("ebsm,bse->bsm", each, self.combine(t))

    def __call__(self, t):
        common = self.shared(t)  # FAULT
        if self.gated:
            common = common / (1 + jnp.exp(-jnp.einsum("bsm,om->bso", t, self.params["shared_gate"])))
        return self.routed(t) + common  # FAULT


def ours(params, x):
    return SparseBlock(params, gated=False)(x)


def fixed(params, x):
    return SparseBlock(params, gated=True)(x)
