"""Mamba-2 mixer; the gated RMSNorm normalises before the gate, where it should after it (transformers #32686)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, STATE, TAPS = 4, 8, 6, 4
INNER, MIXED = HEADS * DEPTH, HEADS * DEPTH + 2 * STATE


def inputs():
    r = np.random.default_rng(109)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"in": n(INNER + MIXED + HEADS, 24), "out": n(24, INNER), "conv": n(MIXED, TAPS), "d": 2 * n(HEADS)}
    params["b_conv"] = jnp.asarray(0.2 * r.normal(size=MIXED), jnp.float32)
    params["norm"] = jnp.asarray(1 + 0.2 * r.normal(size=INNER), jnp.float32)
    params["a_log"] = jnp.asarray(np.log(r.uniform(0.5, 3, size=HEADS)), jnp.float32)
    params["dt"] = jnp.asarray(0.5 * r.normal(size=HEADS), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 10, 24)), jnp.float32)


def reference(params, x):
    b, s, _ = x.shape
    z, mixed, dt = jnp.split(x @ params["in"].T, [INNER, INNER + MIXED], axis=-1)
    padded = jnp.pad(mixed, ((0, 0), (TAPS - 1, 0), (0, 0)))
    mixed = sum(padded[:, i : i + s] * params["conv"][:, i] for i in range(TAPS)) + params["b_conv"]
    u, bs, cs = jnp.split(jax.nn.silu(mixed), [INNER, INNER + STATE], axis=-1)
    u = u.reshape(b, s, HEADS, DEPTH)
    dt = jax.nn.softplus(dt + params["dt"])
    decay = jnp.exp(dt * -jnp.exp(params["a_log"]))
    state, ys = jnp.zeros((b, HEADS, DEPTH, STATE)), []
    for t in range(s):
        new = (dt[:, t, :, None] * u[:, t])[..., None] * bs[:, t, None, None, :]
        state = state * decay[:, t, :, None, None] + new
        ys.append((state * cs[:, t, None, None, :]).sum(-1))
    y = (jnp.stack(ys, 1) + u * params["d"][:, None]).reshape(b, s, INNER)
    y = y * jax.nn.silu(z)
    y = y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + 1e-5) * params["norm"]
    return y @ params["out"].T


class GatedRMSNorm:
    def __init__(self, weight, norm_before_gate):
        self.weight, self.norm_before_gate = weight, norm_before_gate

    def __call__(self, t, gate):
        opened = gate / (1 + jnp.exp(-gate))
        if not self.norm_before_gate:
            t = opened * t
        t = self.weight * (t / jnp.sqrt(jnp.einsum("...m,...m->...", t, t) / t.shape[-1] + 1e-5)[..., None])  # FAULT
        return opened * t if self.norm_before_gate else t  # FAULT


def causal_conv(t, kernel, bias):
    return bias + jax.lax.conv_general_dilated(
        t, kernel.T[:, None, :], (1,), [(TAPS - 1, 0)], None, None, ("NWC", "WIO", "NWC"), MIXED
    )


def state_space(u, key, query, step, rate):
    """The whole sequence at once: a causal matrix of decays."""
    total = jnp.cumsum(step * rate, axis=1)
    gap = total[:, :, None] - total[:, None]
    order = jnp.arange(u.shape[1])
    decay = jnp.where((order[:, None] >= order)[None, :, :, None], jnp.exp(jnp.minimum(gap, 0)), 0)
    return jnp.einsum("btn,bsn,btsh,bsh,bshd->bthd", query, key, decay, step, u)


def _mixer(params, x, norm_before_gate):
    gate_in, conv_in, step_in = (params["in"][:INNER], params["in"][INNER:-HEADS], params["in"][-HEADS:])
    channels = causal_conv(jnp.einsum("btm,cm->btc", x, conv_in), params["conv"], params["b_conv"])
    channels = channels * jax.nn.sigmoid(channels)
    u = channels[..., :INNER].reshape(*x.shape[:2], HEADS, DEPTH)
    step = jnp.logaddexp(jnp.einsum("btm,hm->bth", x, step_in) + params["dt"], 0)
    y = state_space(u, channels[..., INNER:-STATE], channels[..., -STATE:], step, -jnp.exp(params["a_log"]))
    y = (y + jnp.einsum("bthd,h->bthd", u, params["d"])).reshape(*x.shape[:2], INNER)
    gate = jnp.einsum("btm,cm->btc", x, gate_in)
    return jnp.einsum("btc,mc->btm", GatedRMSNorm(params["norm"], norm_before_gate)(y, gate), params["out"])


def ours(params, x):
    return _mixer(params, x, norm_before_gate=True)


def fixed(params, x):
    return _mixer(params, x, norm_before_gate=False)
