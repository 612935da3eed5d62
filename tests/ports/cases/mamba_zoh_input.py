"""Mamba block; B is discretised by the paper's zero-order hold where the released weights want delta * B (state-spaces/mamba #121)."""

import jax
import jax.numpy as jnp
import numpy as np

INNER, STATE, RANK, WIDTH = 32, 8, 4, 4


def inputs():
    r = np.random.default_rng(102)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"in": n(2 * INNER, 24), "conv": n(INNER, WIDTH), "conv_b": 0.3 * n(INNER), "out": n(24, INNER)}
    params |= {"x": n(RANK + 2 * STATE, INNER), "dt": n(INNER, RANK), "dt_b": jnp.asarray(r.normal(size=INNER), jnp.float32)}
    params["A_log"] = jnp.asarray(np.log(np.arange(1, STATE + 1)) + 0.1 * r.normal(size=(INNER, STATE)), jnp.float32)
    params["D"] = jnp.asarray(r.normal(size=INNER), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 10, 24)), jnp.float32)


def reference(params, x):
    b, length, _ = x.shape
    u, z = jnp.split(x @ params["in"].T, 2, axis=-1)
    u = jax.lax.conv_general_dilated(
        u.transpose(0, 2, 1), params["conv"][:, None, :], (1,), [(WIDTH - 1, 0)], feature_group_count=INNER
    ).transpose(0, 2, 1)
    u = jax.nn.silu(u + params["conv_b"])
    dt, B, C = jnp.split(u @ params["x"].T, [RANK, RANK + STATE], axis=-1)
    delta = jax.nn.softplus(dt @ params["dt"].T + params["dt_b"])
    A = -jnp.exp(params["A_log"])
    dA = jnp.exp(delta[..., None] * A)
    dBu = delta[..., None] * B[:, :, None, :] * u[..., None]
    h = jnp.zeros((b, INNER, STATE))
    ys = []
    for t in range(length):
        h = dA[:, t] * h + dBu[:, t]
        ys.append((h @ C[:, t, :, None])[..., 0])
    y = jnp.stack(ys, axis=1) + u * params["D"]
    return (y * jax.nn.silu(z)) @ params["out"].T


class SelectiveSSM:
    def __init__(self, params, right):
        self.p, self.right = params, right
        self.rate = jnp.exp(params["A_log"]).T

    def causal_conv(self, u):
        padded = jnp.pad(u, ((WIDTH - 1, 0), (0, 0)))
        taps = [padded[i : i + u.shape[0]] * self.p["conv"][:, i] for i in range(WIDTH)]
        return sum(taps, self.p["conv_b"])

    def discretise(self, delta, B, u):
        log_decay = -delta[:, None, :] * self.rate
        if self.right:
            gain = (delta * u)[:, None, :] * B[:, :, None]
        else:
            held = -jnp.expm1(log_decay) / self.rate  # FAULT
            gain = held * B[:, :, None] * u[:, None, :]  # FAULT
        return jnp.exp(log_decay), gain

    def __call__(self, x):
        merged = jnp.einsum("lm,cim->cli", x, self.p["in"].reshape(2, INNER, -1))
        u = self.causal_conv(merged[0])
        u = u / (1 + jnp.exp(-u))
        low, B, C = (jnp.einsum("li,ki->lk", u, w) for w in jnp.split(self.p["x"], [RANK, RANK + STATE]))
        delta = jnp.logaddexp(jnp.einsum("lr,ir->li", low, self.p["dt"]) + self.p["dt_b"], 0.0)
        combine = lambda old, new: (old[0] * new[0], old[1] * new[0] + new[1])
        _, states = jax.lax.associative_scan(combine, self.discretise(delta, B, u))
        y = jnp.einsum("lni,ln->li", states, C) + self.p["D"] * u
        gate = merged[1] * jax.nn.sigmoid(merged[1])
        return jnp.einsum("li,mi->lm", gate * y, self.p["out"])


def ours(params, x):
    return jax.vmap(SelectiveSSM(params, right=False))(x)


def fixed(params, x):
    return jax.vmap(SelectiveSSM(params, right=True))(x)
