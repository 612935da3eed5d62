"""AdaBound steps; the second bias correction is taken from one a second time (AdaBound-tensorflow #3)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

STEPS, RATE, FINAL, GAMMA, BETAS, EPS = 4, 0.05, 0.1, 0.2, (0.9, 0.999), 1e-8


def inputs():
    r = np.random.default_rng(312)
    n = lambda *s: jnp.asarray(r.normal(size=s), jnp.float32)
    params = {"kernel": n(20, 16), "bias": n(16), "head": {"kernel": n(16, 5)}}
    grads = jax.tree.map(lambda p: n(STEPS, *p.shape) * 0.5, params)
    return params, grads


def reference(params, grads):
    beta1, beta2 = BETAS

    def optimise(p, all_grads):
        exp_avg, exp_avg_sq = jnp.zeros_like(p), jnp.zeros_like(p)
        for step in range(1, STEPS + 1):
            grad = all_grads[step - 1]
            exp_avg = beta1 * exp_avg + (1 - beta1) * grad
            exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
            denom = jnp.sqrt(exp_avg_sq) + EPS
            correction1, correction2 = 1 - beta1**step, 1 - beta2**step
            step_size = RATE * math.sqrt(correction2) / correction1
            lower = FINAL * (1 - 1 / (GAMMA * step + 1))
            upper = FINAL * (1 + 1 / (GAMMA * step))
            p = p - jnp.clip(step_size / denom, lower, upper) * exp_avg
        return p

    return jax.tree.map(optimise, params, grads)


def _debias(beta, t):
    return -jnp.expm1(t * math.log(beta))


def _rate_from_complement(t):
    first, second = _debias(BETAS[0], t), _debias(BETAS[1], t)
    return RATE * jnp.sqrt(1 - second) / first  # FAULT


def _rate(t):
    first, second = _debias(BETAS[0], t), _debias(BETAS[1], t)
    return RATE * jnp.sqrt(second) / first


def _moved(old, new, beta):
    return jax.tree.map(lambda a, b: a + (1 - beta) * (b - a), old, new)


def _run(params, grads, rate):
    def step(carry, now):
        t, slope = now
        params, mean, power = carry
        mean = _moved(mean, slope, BETAS[0])
        power = _moved(power, jax.tree.map(jnp.square, slope), BETAS[1])
        low, high = FINAL * GAMMA * t / (GAMMA * t + 1), FINAL + FINAL / (GAMMA * t)

        def change(p, m, v):
            speed = rate(t) / (jnp.sqrt(v) + EPS)  # FAULT
            speed = jnp.minimum(jnp.maximum(speed, low), high)
            return p - (speed * m).astype(p.dtype)

        return (jax.tree.map(change, params, mean, power), mean, power), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    clock = jnp.arange(1, STEPS + 1, dtype=jnp.float32)
    (params, _, _), _ = jax.lax.scan(step, (params, zeros, zeros), (clock, grads))
    return params


def ours(params, grads):
    return _run(params, grads, _rate_from_complement)


def fixed(params, grads):
    return _run(params, grads, _rate)
