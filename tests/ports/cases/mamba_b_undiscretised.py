"""Mamba block; B enters the state without the step size (on its discretisation: mamba-minimal #2)."""

import jax
import jax.numpy as jnp
import numpy as np

RANK, STATE, TAPS = 3, 6, 4


def inputs():
    r = np.random.default_rng(107)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"in": n(72, 26), "conv": n(36, TAPS), "conv_b": 0.1 * n(36), "x": n(RANK + 2 * STATE, 36)}
    params |= {"dt": n(36, RANK), "D": 1 + 0.6 * n(36), "out": n(26, 36)}
    params["dt_b"] = jnp.asarray(r.uniform(-2.0, 0.5, size=36), jnp.float32)
    params["A_log"] = jnp.asarray(np.log(np.tile(np.arange(1.0, STATE + 1), (36, 1))), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 10, 26)), jnp.float32)


def reference(params, x):
    length = x.shape[1]
    u, z = jnp.split(x @ params["in"].T, 2, axis=-1)
    padded = jnp.pad(u, ((0, 0), (TAPS - 1, 0), (0, 0)))
    u = params["conv_b"] + sum(padded[:, k : k + length] * params["conv"][:, k] for k in range(TAPS))
    u = jax.nn.silu(u)
    dt, B, C = jnp.split(u @ params["x"].T, [RANK, RANK + STATE], axis=-1)
    delta = jax.nn.softplus(dt @ params["dt"].T + params["dt_b"])
    A = -jnp.exp(params["A_log"])
    h = jnp.zeros((x.shape[0], u.shape[-1], STATE), x.dtype)
    ys = []
    for t in range(length):
        dA = jnp.exp(delta[:, t, :, None] * A)
        dB = delta[:, t, :, None] * B[:, t, None, :]
        h = dA * h + dB * u[:, t, :, None]
        ys.append(jnp.sum(h * C[:, t, None, :], axis=-1))
    y = jnp.stack(ys, axis=1) + params["D"] * u
    return (y * jax.nn.silu(z)) @ params["out"].T


def swish(t):
    return t / (1 + jnp.exp(-t))


class SelectiveScan:
    """One sequence; time is the leading axis."""

    def __init__(self, log_rate, skip, right):
        self.rate, self.skip, self.right = jnp.exp(log_rate.T), skip, right

    def step(self, state, now):
        u, delta, b, c = now
        drive = jnp.outer(b, u * delta if self.right else u)  # FAULT
        state = state / jnp.exp(self.rate * delta) + drive  # FAULT
        return state, c @ state + self.skip * u

    def __call__(self, u, delta, b, c):
        empty = jnp.zeros(self.rate.shape, u.dtype)
        return jax.lax.scan(self.step, empty, (u, delta, b, c))[1]


def _mixer(params, x, right):
    def sequence(tokens):
        u, z = jnp.einsum("tm,gcm->gtc", tokens, params["in"].reshape(2, -1, tokens.shape[-1]))
        windows = jnp.arange(u.shape[0])[:, None] + jnp.arange(TAPS)
        history = jnp.concatenate([jnp.zeros_like(u[: TAPS - 1]), u])[windows]
        u = swish(jnp.einsum("tkc,ck->tc", history, params["conv"]) + params["conv_b"])
        low, b, c = (jnp.einsum("tc,rc->tr", u, w) for w in jnp.split(params["x"], [RANK, RANK + STATE]))
        delta = jnp.logaddexp(jnp.einsum("tr,cr->tc", low, params["dt"]) + params["dt_b"], 0)
        y = SelectiveScan(params["A_log"], params["D"], right)(u, delta, b, c)
        return jnp.einsum("tc,mc->tm", swish(z) * y, params["out"])

    return jax.vmap(sequence)(x)


def ours(params, x):
    return _mixer(params, x, right=False)


def fixed(params, x):
    return _mixer(params, x, right=True)
