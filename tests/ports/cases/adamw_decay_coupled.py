"""AdamW's step; the decay is added to the gradient, so it passes through the moments (keras #19051)."""

import jax
import jax.numpy as jnp
import numpy as np

RATE, BETA1, BETA2, EPS, DECAY, STEP = 0.02, 0.9, 0.98, 1e-8, 0.1, 7


def inputs():
    r = np.random.default_rng(112)
    shapes = {"emb": (23, 26), "w": (26, 34), "b": (34,), "gain": (26,)}
    f = lambda a: jnp.asarray(a, jnp.float32)
    params = {k: f(r.normal(size=s)) for k, s in shapes.items()}
    x = {"grads": {k: f(0.1 * r.normal(size=s)) for k, s in shapes.items()}}
    x["mu"] = {k: f(0.04 * r.normal(size=s)) for k, s in shapes.items()}
    x["nu"] = {k: f(0.003 * r.uniform(0.5, 1.5, size=s)) for k, s in shapes.items()}
    return params, x


def reference(params, x):
    bias1 = 1 - BETA1**STEP
    bias2 = 1 - BETA2**STEP
    new = {}
    for name, p in params.items():
        g = x["grads"][name]
        if p.ndim > 1:
            p = p * (1 - RATE * DECAY)
        m = x["mu"][name] * BETA1 + g * (1 - BETA1)
        v = x["nu"][name] * BETA2 + g * g * (1 - BETA2)
        denom = jnp.sqrt(v) / bias2**0.5 + EPS
        new[name] = p - (RATE / bias1) * (m / denom)
    return new


class AdamW:
    def __init__(self, decay, mask, coupled):
        self.decay, self.mask, self.coupled = decay, mask, coupled

    def moments(self, grad, mu, nu):
        mu = mu + (1 - BETA1) * (grad - mu)
        nu = nu + (1 - BETA2) * (jnp.square(grad) - nu)
        return mu / (1 - BETA1**STEP), nu / (1 - BETA2**STEP)

    def update(self, grad, mu, nu, param):
        decay = self.decay * self.mask(param)
        if self.coupled:
            grad = grad + decay * param  # FAULT
        first, second = self.moments(grad, mu, nu)  # FAULT
        direction = first / (EPS + jnp.sqrt(second))
        if not self.coupled:
            direction = direction + decay * param
        return -RATE * direction  # FAULT

    def apply(self, params, grads, mu, nu):
        changes = jax.tree.map(self.update, grads, mu, nu, params)
        return jax.tree.map(jnp.add, params, changes)


def _train_step(params, x, coupled):
    optimizer = AdamW(DECAY, lambda param: float(param.ndim >= 2), coupled)
    return optimizer.apply(params, x["grads"], x["mu"], x["nu"])


def ours(params, x):
    return _train_step(params, x, coupled=True)


def fixed(params, x):
    return _train_step(params, x, coupled=False)
