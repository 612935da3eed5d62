"""AlphaFold's incoming triangle update; i and j are swapped in the product, as printed (alphafold #77)."""

import jax
import jax.numpy as jnp
import numpy as np

PAIR, HIDDEN, LENGTH = 24, 16, 6


def inputs():
    r = np.random.default_rng(307)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[0]), jnp.float32)
    params = {}
    for side in ("left", "right"):
        params |= {side: n(PAIR, HIDDEN), side + "_b": 0.3 * n(HIDDEN)}
        params |= {side + "_gate": n(PAIR, HIDDEN), side + "_gate_b": 1 + 0.3 * n(HIDDEN)}
    params |= {"out": n(HIDDEN, PAIR), "out_b": 0.3 * n(PAIR), "gate": n(PAIR, PAIR), "gate_b": 1 + n(PAIR)}
    params |= {"ln": 1 + 0.5 * n(PAIR), "ln_b": 0.5 * n(PAIR)}
    params |= {"centre": 1 + 0.5 * n(HIDDEN), "centre_b": 0.5 * n(HIDDEN)}
    present = np.ones((2, LENGTH))
    present[1, -2:] = 0
    mask = present[:, :, None] * present[:, None, :]
    act = r.normal(size=(2, LENGTH, LENGTH, PAIR))
    return params, jnp.asarray(act, jnp.float32), jnp.asarray(mask, jnp.float32)


def reference(params, act, mask):
    def layer_norm(t, name):
        mean, var = t.mean(-1, keepdims=True), t.var(-1, keepdims=True)
        return (t - mean) / jnp.sqrt(var + 1e-5) * params[name] + params[name + "_b"]

    def linear(t, name):
        return t @ params[name] + params[name + "_b"]

    normed = layer_norm(act, "ln")
    left = mask[..., None] * linear(normed, "left") * jax.nn.sigmoid(linear(normed, "left_gate"))
    right = mask[..., None] * linear(normed, "right") * jax.nn.sigmoid(linear(normed, "right_gate"))
    update = jnp.einsum("bkjc,bkic->bijc", left, right)
    update = linear(layer_norm(update, "centre"), "out")
    return act + update * jax.nn.sigmoid(linear(normed, "gate"))


def _standardise(t, gain, shift):
    t = t - jnp.mean(t, -1, keepdims=True)
    power = jnp.einsum("...c,...c->...", t, t) / t.shape[-1]
    return t * jax.lax.rsqrt(power + 1e-5)[..., None] * gain + shift


def _squash(t):
    return 1 / (1 + jnp.exp(-t))


def _edges_as_printed(left, right):
    """Planes [channel, k, edge]."""
    return jax.vmap(lambda a, b: a.T @ b)(left, right)  # FAULT


def _edges_as_released(left, right):
    return jax.vmap(lambda a, b: b.T @ a)(left, right)


def _triangle(params, act, mask, edges):
    names = ("left", "right", "left_gate", "right_gate")
    kernel = jnp.stack([params[name] for name in names])
    offset = jnp.stack([params[name + "_b"] for name in names])[:, :, None, None]

    def protein(pair, seen):
        normed = _standardise(pair, params["ln"], params["ln_b"])
        left, right, left_gate, right_gate = jnp.einsum("ijp,npc->ncij", normed, kernel) + offset
        left, right = seen * (left * _squash(left_gate)), seen * (right * _squash(right_gate))
        product = jnp.moveaxis(edges(left, right), 0, -1)  # FAULT
        product = _standardise(product, params["centre"], params["centre_b"])
        product = jnp.einsum("ijc,cp->ijp", product, params["out"]) + params["out_b"]
        return pair + product * _squash(jnp.einsum("ijp,pq->ijq", normed, params["gate"]) + params["gate_b"])

    return jax.vmap(protein)(act, mask)


def ours(params, act, mask):
    return _triangle(params, act, mask, _edges_as_printed)


def fixed(params, act, mask):
    return _triangle(params, act, mask, _edges_as_released)
