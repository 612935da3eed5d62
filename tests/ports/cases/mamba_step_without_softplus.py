"""Mamba mixer; the step size goes into the discretisation without its softplus (mamba.py #53)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, INNER, STATE, RANK, TAPS = 16, 24, 4, 3, 3


def inputs():
    r = np.random.default_rng(309)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"in_proj": n(2 * INNER, WIDTH), "conv": n(INNER, TAPS), "conv_b": 0.5 * n(INNER)}
    params |= {"x_proj": n(RANK + 2 * STATE, INNER), "dt_proj": 0.5 * n(INNER, RANK)}
    params["out_proj"] = n(WIDTH, INNER)
    params |= {"dt_b": jnp.asarray(r.uniform(0.2, 1.0, INNER), jnp.float32), "D": 1 + n(INNER)}
    params["A_log"] = jnp.asarray(np.log(np.tile(np.arange(1.0, STATE + 1), (INNER, 1))), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 8, WIDTH)), jnp.float32)


def reference(params, x):
    batch, length, _ = x.shape
    u, gate = jnp.split(x @ params["in_proj"].T, 2, axis=-1)
    conv = jnp.zeros_like(u) + params["conv_b"]
    for k in range(TAPS):
        back = TAPS - 1 - k
        conv = conv + jnp.pad(u, ((0, 0), (back, 0), (0, 0)))[:, :length] * params["conv"][:, k]
    u = jax.nn.silu(conv)
    delta, B, C = jnp.split(u @ params["x_proj"].T, [RANK, RANK + STATE], axis=-1)
    delta = jax.nn.softplus(delta @ params["dt_proj"].T + params["dt_b"])
    A = -jnp.exp(params["A_log"])
    dA = jnp.exp(delta[..., None] * A)
    dBu = delta[..., None] * B[:, :, None, :] * u[..., None]
    state = jnp.zeros((batch, INNER, STATE), x.dtype)
    ys = []
    for i in range(length):
        state = dA[:, i] * state + dBu[:, i]
        ys.append((state * C[:, i, None, :]).sum(-1))
    y = jnp.stack(ys, axis=1) + u * params["D"]
    return (y * jax.nn.silu(gate)) @ params["out_proj"].T


def _swish(t):
    return 0.5 * t * (1 + jnp.tanh(0.5 * t))


def _affine_step(low, kernel, offset):
    return jnp.einsum("tr,cr->tc", low, kernel) + offset  # FAULT


def _positive_step(low, kernel, offset):
    return jnp.logaddexp(jnp.einsum("tr,cr->tc", low, kernel) + offset, 0)


def _compose(first, second):
    """Two maps h -> decay h + push, one after the other."""
    return first[0] * second[0], second[0] * first[1] + second[1]


def _mixer(params, x, step):
    def sequence(tokens):
        inner, gate = jnp.einsum("tw,gcw->gtc", tokens, params["in_proj"].reshape(2, INNER, WIDTH))
        late = jnp.concatenate([jnp.zeros_like(inner[: TAPS - 1]), inner])
        taps = jnp.stack([late[k : k + len(inner)] for k in range(TAPS)])
        inner = _swish(jnp.einsum("ktc,ck->tc", taps, params["conv"]) + params["conv_b"])
        picked = jnp.einsum("tc,rc->tr", inner, params["x_proj"])
        low, write, read = picked[:, :RANK], picked[:, RANK:-STATE], picked[:, -STATE:]
        span = step(low, params["dt_proj"], params["dt_b"])  # FAULT
        decay = jnp.exp(-jnp.einsum("tc,cs->tcs", span, jnp.exp(params["A_log"])))
        push = jnp.einsum("tc,ts->tcs", span * inner, write)
        _, states = jax.lax.associative_scan(_compose, (decay, push))
        seen = jnp.einsum("tcs,ts->tc", states, read) + params["D"] * inner
        return jnp.einsum("tc,wc->tw", seen * _swish(gate), params["out_proj"])

    return jax.vmap(sequence)(x)


def ours(params, x):
    return _mixer(params, x, _affine_step)


def fixed(params, x):
    return _mixer(params, x, _positive_step)
