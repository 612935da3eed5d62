"""PyTorch LSTM; its gates i, f, g, o are read in TensorFlow's order i, g, f, o (tensorflow #29308)."""

import jax
import jax.numpy as jnp
import numpy as np

SEEN, UNITS, LAYERS = 20, 16, 2


def inputs():
    r = np.random.default_rng(310)
    n = lambda *s: jnp.asarray(r.normal(size=s) * 0.3, jnp.float32)
    params = {}
    for layer in range(LAYERS):
        params[f"weight_ih_l{layer}"] = n(4 * UNITS, UNITS if layer else SEEN)
        params[f"weight_hh_l{layer}"] = n(4 * UNITS, UNITS)
        params[f"bias_ih_l{layer}"], params[f"bias_hh_l{layer}"] = n(4 * UNITS), n(4 * UNITS)
    x = jnp.asarray(r.normal(size=(2, 7, SEEN)), jnp.float32)
    return params, x, n(LAYERS, 2, UNITS), n(LAYERS, 2, UNITS)


def reference(params, x, h0, c0):
    last = []
    for layer in range(LAYERS):
        h, c, outputs = h0[layer], c0[layer], []
        for t in range(x.shape[1]):
            gates = x[:, t] @ params[f"weight_ih_l{layer}"].T + params[f"bias_ih_l{layer}"]
            gates = gates + h @ params[f"weight_hh_l{layer}"].T + params[f"bias_hh_l{layer}"]
            i, f, g, o = jnp.split(gates, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            outputs.append(h)
        x = jnp.stack(outputs, axis=1)
        last.append((h, c))
    return x, jnp.stack([h for h, _ in last]), jnp.stack([c for _, c in last])


def _open(t):
    return 0.5 + 0.5 * jnp.tanh(0.5 * t)


class Cell:
    """One sequence; input and state share one kernel."""

    def __init__(self, params, layer):
        sides = [params[f"weight_{side}_l{layer}"] for side in ("ih", "hh")]
        self.kernel = jnp.concatenate(sides, axis=1).reshape(4, UNITS, -1)
        self.offset = (params[f"bias_ih_l{layer}"] + params[f"bias_hh_l{layer}"]).reshape(4, UNITS)

    def named(self, rows):
        write, fresh, keep, show = rows  # FAULT
        return write, fresh, keep, show

    def step(self, carry, now):
        hidden, memory = carry
        rows = jnp.einsum("guk,k->gu", self.kernel, jnp.concatenate([now, hidden])) + self.offset
        write, fresh, keep, show = self.named(rows)
        memory = memory * _open(keep) + jnp.tanh(fresh) * _open(write)  # FAULT
        hidden = jnp.tanh(memory) * _open(show)
        return (hidden, memory), hidden

    def __call__(self, sequence, hidden, memory):
        (hidden, memory), outputs = jax.lax.scan(self.step, (hidden, memory), sequence)
        return outputs, hidden, memory


class TorchCell(Cell):
    def named(self, rows):
        write, keep, fresh, show = rows
        return write, fresh, keep, show


def _stack(params, x, h0, c0, kind):
    ends = []
    for layer in range(LAYERS):
        x, *end = jax.vmap(kind(params, layer))(x, h0[layer], c0[layer])
        ends.append(end)
    hidden, memory = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ends)
    return x, hidden, memory


def ours(params, x, h0, c0):
    return _stack(params, x, h0, c0, Cell)


def fixed(params, x, h0, c0):
    return _stack(params, x, h0, c0, TorchCell)
