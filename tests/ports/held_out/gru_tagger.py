"""GRU; the reset gate acts on the state before its matrix product instead of on the result (burn #2701, #2704)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, UNITS = 24, 32


def inputs():
    r = np.random.default_rng(69)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"w_ih": n(3 * UNITS, WIDTH), "w_hh": 1.5 * n(3 * UNITS, UNITS), "h0": n(1, UNITS) * 3}
    params |= {"b_ih": jnp.asarray(0.3 * r.normal(size=3 * UNITS), jnp.float32)}
    params |= {"b_hh": jnp.asarray(0.3 * r.normal(size=3 * UNITS), jnp.float32)}
    params |= {"gain": jnp.asarray(1 + 0.2 * r.normal(size=UNITS), jnp.float32), "tags": n(12, UNITS), "b": 0.5 * n(12)}
    return params, jnp.asarray(r.normal(size=(3, 8, WIDTH)), jnp.float32)


def reference(params, x):
    def step(h, inp):
        gi = inp @ params["w_ih"].T + params["b_ih"]
        gh = h @ params["w_hh"].T + params["b_hh"]
        i_r, i_z, i_n = jnp.split(gi, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(gh, 3, axis=-1)
        r = jax.nn.sigmoid(i_r + h_r)
        z = jax.nn.sigmoid(i_z + h_z)
        n = jnp.tanh(i_n + r * h_n)
        h = (1 - z) * n + z * h
        return h, h

    h = jnp.broadcast_to(params["h0"], (x.shape[0], UNITS))
    _, states = jax.lax.scan(step, h, x.swapaxes(0, 1))
    states = states.swapaxes(0, 1)
    mean = states.mean(-1, keepdims=True)
    var = jnp.square(states - mean).mean(-1, keepdims=True)
    states = (states - mean) / jnp.sqrt(var + 1e-5) * params["gain"]
    return jax.nn.log_softmax(states @ params["tags"].T + params["b"], axis=-1)


class GRUCell:
    def __init__(self, params, right):
        self.wx, self.wh = params["w_ih"].reshape(3, UNITS, -1), params["w_hh"].reshape(3, UNITS, UNITS)
        self.bx, self.bh = params["b_ih"].reshape(3, UNITS), params["b_hh"].reshape(3, UNITS)
        self.right = right

    def drive(self, x):
        summed = jnp.stack([self.bx[0] + self.bh[0], self.bx[1] + self.bh[1], self.bx[2]])
        return jnp.einsum("btm,gum->tgub", x, self.wx) + summed[..., None]

    def __call__(self, state, drive):
        gates = jnp.einsum("guv,vb->gub", self.wh[:2], state) + drive[:2]
        reset, update = 1 / (1 + jnp.exp(-gates))
        if self.right:
            inner = (jnp.einsum("uv,vb->ub", self.wh[2], state) + self.bh[2][:, None]) * reset
        else:
            inner = jnp.einsum("uv,vb->ub", self.wh[2], reset * state) + self.bh[2][:, None]  # FAULT
        candidate = jnp.tanh(inner + drive[2])
        state = candidate + update * (state - candidate)
        return state, state


def _tag(params, x, right):
    cell = GRUCell(params, right)
    start = jnp.tile(params["h0"].T, (1, x.shape[0]))
    _, states = jax.lax.scan(cell, start, cell.drive(x))
    spread = jax.lax.rsqrt(jnp.var(states, axis=1, keepdims=True) + 1e-5)
    normed = (states - states.mean(1, keepdims=True)) * (spread * params["gain"][:, None])
    logits = jnp.einsum("tub,cu->btc", normed, params["tags"]) + params["b"]
    return logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)


def ours(params, x):
    return _tag(params, x, right=False)


def fixed(params, x):
    return _tag(params, x, right=True)
