"""RMSprop steps; epsilon goes inside the square root, as in optax, where PyTorch adds it outside (optax #532, jax #1427)."""

import jax
import jax.numpy as jnp
import numpy as np

RATE, DECAY, EPS, MOMENTUM, STEPS = 0.02, 0.95, 0.01, 0.9, 2


def inputs():
    r = np.random.default_rng(107)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    weights = {"w1": n(40, 32), "b1": n(40), "w2": n(8, 40), "b2": n(8)}
    params = {"weights": weights, "square": {k: 0.002 * v**2 for k, v in weights.items()}}
    params["buffer"] = {k: n(*v.shape) for k, v in weights.items()}
    return params, {"data": jnp.asarray(r.normal(size=(16, 32)), jnp.float32), "target": n(16, 8)}


def reference(params, x):
    def loss(w):
        h = jnp.tanh(x["data"] @ w["w1"].T + w["b1"])
        return jnp.mean((h @ w["w2"].T + w["b2"] - x["target"]) ** 2)

    w, square, buffer = dict(params["weights"]), dict(params["square"]), dict(params["buffer"])
    for _ in range(STEPS):
        grads = jax.grad(loss)(w)
        for name, g in grads.items():
            square[name] = DECAY * square[name] + (1 - DECAY) * g * g
            buffer[name] = MOMENTUM * buffer[name] + g / (jnp.sqrt(square[name]) + EPS)
            w[name] = w[name] - RATE * buffer[name]
    return w, square, buffer


def scale_by_rms(decay, eps, right):
    def update(grads, nu):
        nu = jax.tree.map(lambda g, old: old + (1 - decay) * (jnp.square(g) - old), grads, nu)
        if right:
            scale = jax.tree.map(lambda n: 1.0 / (eps + n**0.5), nu)
        else:
            scale = jax.tree.map(lambda n: jax.lax.rsqrt(n + eps), nu)  # FAULT
        return jax.tree.map(lambda g, s: s * g, grads, scale), nu  # FAULT

    return update


def trace(decay):
    def update(updates, velocity):
        velocity = jax.tree.map(lambda u, t: u + decay * t, updates, velocity)
        return velocity, velocity

    return update


def chain(*parts):
    def update(updates, states):
        new = []
        for part, state in zip(parts, states):
            updates, state = part(updates, state)
            new.append(state)
        return jax.tree.map(lambda u: -RATE * u, updates), tuple(new)

    return update


def example_loss(weights, row, target):
    hidden = jnp.tanh(jnp.einsum("fm,m->f", weights["w1"], row) + weights["b1"])
    missed = target - jnp.einsum("of,f->o", weights["w2"], hidden) - weights["b2"]
    return jnp.dot(missed, missed) / missed.size


def _fit(params, x, right):
    optimiser = chain(scale_by_rms(DECAY, EPS, right), trace(MOMENTUM))

    def step(carry, _):
        weights, state = carry
        each = jax.vmap(jax.grad(example_loss), in_axes=(None, 0, 0))(weights, x["data"], x["target"])
        updates, state = optimiser(jax.tree.map(lambda g: jnp.mean(g, axis=0), each), state)
        return (jax.tree.map(jnp.add, weights, updates), state), None

    carry = params["weights"], (params["square"], params["buffer"])
    (weights, (square, buffer)), _ = jax.lax.scan(step, carry, None, length=STEPS)
    return weights, square, buffer


def ours(params, x):
    return _fit(params, x, right=False)


def fixed(params, x):
    return _fit(params, x, right=True)
