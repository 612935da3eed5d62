"""GRU; the reset gate scales the state before its matmul where PyTorch scales the product and its bias (burn #2704)."""

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, HIDDEN = 2, 32


def inputs():
    r = np.random.default_rng(115)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    layer = lambda: {"ih": n(3 * HIDDEN, 32), "hh": n(3 * HIDDEN, HIDDEN), "bi": 2 * n(3 * HIDDEN), "bh": 2 * n(3 * HIDDEN)}
    return {"layers": [layer() for _ in range(LAYERS)], "out": n(16, HIDDEN)}, jnp.asarray(r.normal(size=(2, 8, 32)), jnp.float32)


def reference(params, x):
    for p in params["layers"]:
        h = jnp.zeros((x.shape[0], HIDDEN))
        outputs = []
        for t in range(x.shape[1]):
            gi = x[:, t] @ p["ih"].T + p["bi"]
            gh = h @ p["hh"].T + p["bh"]
            i_r, i_z, i_n = jnp.split(gi, 3, axis=1)
            h_r, h_z, h_n = jnp.split(gh, 3, axis=1)
            r = jax.nn.sigmoid(i_r + h_r)
            z = jax.nn.sigmoid(i_z + h_z)
            n = jnp.tanh(i_n + r * h_n)
            h = n + z * (h - n)
            outputs.append(h)
        x = jnp.stack(outputs, axis=1)
    return x @ params["out"].T


class GateController:
    def __init__(self, weights, index):
        part = slice(index * HIDDEN, (index + 1) * HIDDEN)
        self.input, self.hidden = weights["ih"][part], weights["hh"][part]
        self.input_bias, self.hidden_bias = weights["bi"][part], weights["bh"][part]

    def from_input(self, x):
        return jnp.einsum("bi,hi->bh", x, self.input) + self.input_bias

    def from_hidden(self, state):
        return jnp.einsum("bk,hk->bh", state, self.hidden) + self.hidden_bias

    def sigmoid(self, x, state):
        return 1 / (1 + jnp.exp(-(self.from_input(x) + self.from_hidden(state))))


class Gru:
    def __init__(self, weights, right):
        self.reset, self.update, self.new = (GateController(weights, i) for i in range(3))
        self.right = right

    def step(self, state, x):
        reset, update = self.reset.sigmoid(x, state), self.update.sigmoid(x, state)
        if self.right:
            recurrent = self.new.from_hidden(state) * reset
        else:
            recurrent = self.new.from_hidden(reset * state)  # FAULT
        candidate = jnp.tanh(self.new.from_input(x) + recurrent)  # FAULT
        state = (1 - update) * candidate + update * state
        return state, state

    def __call__(self, sequence):
        start = jnp.zeros((sequence.shape[1], HIDDEN))
        return jax.lax.scan(self.step, start, sequence)[1]


def _network(params, x, right):
    sequence = jnp.swapaxes(x, 0, 1)
    for weights in params["layers"]:
        sequence = Gru(weights, right)(sequence)
    return jnp.einsum("sbh,oh->bso", sequence, params["out"])


def ours(params, x):
    return _network(params, x, right=False)


def fixed(params, x):
    return _network(params, x, right=True)
