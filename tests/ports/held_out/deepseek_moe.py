"""DeepSeek-V3 router; a group of experts is scored by its best expert, not by the sum of its best two (vllm #13474)."""

import jax
import jax.numpy as jnp
import numpy as np

EXPERTS, GROUPS, KEPT, CHOSEN, SCALE = 16, 4, 2, 4, 2.5


def inputs():
    r = np.random.default_rng(108)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"router": n(EXPERTS, 32), "bias": 0.3 * n(EXPERTS)}
    params |= {"gate": n(EXPERTS, 24, 32), "up": n(EXPERTS, 24, 32), "down": n(EXPERTS, 32, 24)}
    params |= {"s_gate": n(24, 32), "s_up": n(24, 32), "s_down": n(32, 24)}
    return params, jnp.asarray(r.normal(size=(2, 8, 32)), jnp.float32)


def reference(params, x):
    tokens = x.reshape(-1, x.shape[-1])
    scores = jax.nn.sigmoid(tokens @ params["router"].T)
    biased = scores + params["bias"]
    groups = jnp.sort(biased.reshape(-1, GROUPS, EXPERTS // GROUPS), axis=-1)[..., -2:].sum(-1)
    cut = jnp.sort(groups, axis=-1)[:, -KEPT, None]
    open_ = jnp.repeat(groups >= cut, EXPERTS // GROUPS, axis=-1)
    _, chosen = jax.lax.top_k(jnp.where(open_, biased, -jnp.inf), CHOSEN)
    weights = jnp.take_along_axis(scores, chosen, axis=-1)
    weights = weights / (weights.sum(-1, keepdims=True) + 1e-20) * SCALE
    total = (jax.nn.silu(tokens @ params["s_gate"].T) * (tokens @ params["s_up"].T)) @ params["s_down"].T
    for e in range(EXPERTS):
        h = jax.nn.silu(tokens @ params["gate"][e].T) * (tokens @ params["up"][e].T)
        share = jnp.where(chosen == e, weights, 0).sum(-1, keepdims=True)
        total = total + share * (h @ params["down"][e].T)
    return total.reshape(x.shape)


class GroupedRouter:
    def __init__(self, params, right):
        self.kernel, self.bias, self.right = params["router"], params["bias"], right

    def group_scores(self, choice):
        if self.right:
            best, _ = jax.lax.top_k(choice, 2)
            return best[..., 0] + best[..., 1]
        return jnp.max(choice, axis=-1)  # FAULT

    def __call__(self, x):
        affinity = 1 / (1 + jnp.exp(-jnp.einsum("bsm,em->bse", x, self.kernel)))
        choice = (affinity + self.bias).reshape(*x.shape[:2], GROUPS, -1)
        _, kept = jax.lax.top_k(self.group_scores(choice), KEPT)  # FAULT
        allowed = jax.nn.one_hot(kept, GROUPS).sum(-2)[..., None] > 0
        _, which = jax.lax.top_k(jnp.where(allowed, choice, -1e30).reshape(affinity.shape), CHOSEN)
        gates = affinity * jax.nn.one_hot(which, EXPERTS).sum(-2)
        return gates * (SCALE / jnp.einsum("bse->bs", gates))[..., None]


def gated(x, gate, up):
    g = jnp.einsum("bsm,...fm->bs...f", x, gate)
    return g * jax.nn.sigmoid(g) * jnp.einsum("bsm,...fm->bs...f", x, up)


def _moe(params, x, right):
    combine = GroupedRouter(params, right)(x)
    hidden = gated(x, params["gate"], params["up"])
    routed = jnp.einsum("bsef,emf->bsem", hidden, params["down"])
    shared = jnp.einsum("bsf,mf->bsm", gated(x, params["s_gate"], params["s_up"]), params["s_down"])
    return jnp.einsum("bsem,bse->bsm", routed, combine) + shared


def ours(params, x):
    return _moe(params, x, right=False)


def fixed(params, x):
    return _moe(params, x, right=True)
