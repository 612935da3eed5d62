"""Mixture of experts; softmax over the chosen logits where it is over all of them (Megatron-LM #955)."""

import jax
import jax.numpy as jnp
import numpy as np

EXPERTS, CHOSEN = 7, 3


def inputs():
    r = np.random.default_rng(105)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"norm": jnp.asarray(1 + 0.1 * r.normal(size=30), jnp.float32), "router": 2 * n(EXPERTS, 30)}
    params |= {"gate": n(EXPERTS, 22, 30), "up": n(EXPERTS, 22, 30), "down": n(EXPERTS, 30, 22)}
    return params, jnp.asarray(r.normal(size=(2, 9, 30)), jnp.float32)


def reference(params, x):
    b, s, d = x.shape
    h = x.reshape(b * s, d)
    h = h * jax.lax.rsqrt(jnp.mean(h**2, axis=-1, keepdims=True) + 1e-6) * params["norm"]
    scores = jax.nn.softmax(h @ params["router"].T, axis=-1)
    weight, index = jax.lax.top_k(scores, CHOSEN)
    out = jnp.zeros_like(h)
    for e in range(EXPERTS):
        y = jax.nn.silu(h @ params["gate"][e].T) * (h @ params["up"][e].T)
        y = y @ params["down"][e].T
        out = out + y * jnp.sum(weight * (index == e), axis=-1, keepdims=True)
    return x + out.reshape(b, s, d)


class Router:
    def __init__(self, kernel, softmax_first):
        self.kernel, self.softmax_first = kernel, softmax_first

    def __call__(self, token):
        logits = jnp.einsum("m,em->e", token, self.kernel)
        best, chosen = jax.lax.top_k(logits, CHOSEN)
        total = jax.nn.logsumexp(logits if self.softmax_first else best)  # FAULT
        return jnp.exp(best - total), chosen  # FAULT


class Experts:
    """Gathers the chosen experts' weights for one token."""

    def __init__(self, params):
        self.both = jnp.concatenate([params["gate"], params["up"]], axis=1)
        self.down = jnp.swapaxes(params["down"], 1, 2)

    def __call__(self, token, shares, chosen):
        gate, up = jnp.split(jnp.einsum("kfm,m->kf", self.both[chosen], token), 2, axis=-1)
        hidden = shares[:, None] * (gate * jax.nn.sigmoid(gate) * up)
        return jnp.einsum("kf,kfm->m", hidden, self.down[chosen])


def _token(params, token, softmax_first):
    length = jnp.sqrt(jnp.dot(token, token) / token.size + 1e-6)
    normed = token * params["norm"] / length
    shares, chosen = Router(params["router"], softmax_first)(normed)
    return Experts(params)(normed, shares, chosen) + token


def _moe(params, x, softmax_first):
    return jax.vmap(jax.vmap(lambda token: _token(params, token, softmax_first)))(x)


def ours(params, x):
    return _moe(params, x, softmax_first=False)


def fixed(params, x):
    return _moe(params, x, softmax_first=True)
