"""DeepSeek-V3 routing; the expert weights keep the correction bias that is for the choice only (vllm #12002, transformers #41647)."""

import jax
import jax.numpy as jnp
import numpy as np

EXPERTS, GROUPS, CHOSEN, SCALE = 8, 2, 2, 2.5


def inputs():
    r = np.random.default_rng(111)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"router": n(EXPERTS, 32), "bias": jnp.asarray(0.4 * r.normal(size=EXPERTS), jnp.float32)}
    params |= {"gate": n(EXPERTS, 24, 32), "up": n(EXPERTS, 24, 32), "down": n(EXPERTS, 32, 24)}
    params |= {"shared_gate": n(24, 32), "shared_up": n(24, 32), "shared_down": n(32, 24)}
    return params, jnp.asarray(r.normal(size=(2, 6, 32)), jnp.float32)


def reference(params, x):
    tokens = x.reshape(-1, 32)
    scores = jax.nn.sigmoid(tokens @ params["router"].T)
    choice = scores + params["bias"]
    grouped = choice.reshape(-1, GROUPS, EXPERTS // GROUPS)
    group_score = jnp.sort(grouped, axis=-1)[..., -2:].sum(-1)
    best = jax.nn.one_hot(group_score.argmax(-1), GROUPS, dtype=bool)
    choice = jnp.where(jnp.repeat(best, EXPERTS // GROUPS, axis=1), choice, -jnp.inf)
    chosen = jnp.argsort(-choice, axis=-1)[:, :CHOSEN]
    weights = jnp.take_along_axis(scores, chosen, axis=1)
    weights = weights / (weights.sum(-1, keepdims=True) + 1e-20) * SCALE
    total = (jax.nn.silu(tokens @ params["shared_gate"].T) * (tokens @ params["shared_up"].T)) @ params["shared_down"].T
    for e in range(EXPERTS):
        h = jax.nn.silu(tokens @ params["gate"][e].T) * (tokens @ params["up"][e].T)
        total = total + jnp.where(chosen == e, weights, 0).sum(-1, keepdims=True) * (h @ params["down"][e].T)
    return total.reshape(x.shape)


class Gate:
    def __init__(self, params, right):
        self.kernel, self.bias, self.right = params["router"], params["bias"], right

    def allowed(self, biased):
        pairs, _ = jax.lax.top_k(biased.reshape(GROUPS, -1), 2)
        winner = jnp.argmax(jnp.einsum("gk->g", pairs))
        return jnp.arange(EXPERTS) // (EXPERTS // GROUPS) == winner

    def __call__(self, token):
        affinity = 1.0 / (1.0 + jnp.exp(-jnp.einsum("em,m->e", self.kernel, token)))
        biased = self.bias + affinity
        top, which = jax.lax.top_k(jnp.where(self.allowed(biased), biased, -1e9), CHOSEN)  # FAULT
        if self.right:
            top = affinity[which]
        return top * (SCALE / jnp.sum(top)), which  # FAULT


def swiglu(token, gate, up, down):
    inner = jnp.einsum("...fm,m->...f", gate, token)
    inner = inner * jax.nn.sigmoid(inner) * jnp.einsum("...fm,m->...f", up, token)
    return jnp.einsum("...mf,...f->...m", down, inner)


def _layer(params, right):
    def one(token):
        weights, which = Gate(params, right)(token)
        routed = swiglu(token, params["gate"][which], params["up"][which], params["down"][which])
        shared = swiglu(token, params["shared_gate"], params["shared_up"], params["shared_down"])
        return jnp.einsum("k,km->m", weights, routed) + shared

    return jax.vmap(jax.vmap(one))


def ours(params, x):
    return _layer(params, right=False)(x)


def fixed(params, x):
    return _layer(params, right=True)(x)
