"""Muon; the scale by PyTorch's rows / columns is kept for kernels stored (in, out) (optax #1249)."""

import jax
import jax.numpy as jnp
import numpy as np

RATE, DECAY, BETA = 0.05, 0.1, 0.95
A, B, C = 3.4445, -4.7750, 2.0315


def inputs():
    r = np.random.default_rng(111)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"up": n(56, 24), "down": n(16, 56), "m_up": 0.2 * n(56, 24), "m_down": 0.2 * n(16, 56)}
    params["target"] = jnp.asarray(r.normal(size=(12, 16)), jnp.float32)
    return params, jnp.asarray(r.normal(size=(12, 24)), jnp.float32)


def reference(params, x):
    pre = x @ params["up"].T
    hidden = jnp.maximum(pre, 0)
    error = (hidden @ params["down"].T - params["target"]) * (2 / params["target"].size)
    grads = {"down": error.T @ hidden, "up": ((error @ params["down"]) * (pre > 0)).T @ x}
    new = {}
    for name, grad in grads.items():
        weight = params[name]
        momentum = BETA * params[f"m_{name}"] + (1 - BETA) * grad
        u = (1 - BETA) * grad + BETA * momentum
        tall = u.shape[0] > u.shape[1]
        u = u.T if tall else u
        u = u / (jnp.sqrt((u * u).sum()) + 1e-7)
        for _ in range(5):
            gram = u @ u.T
            u = A * u + (B * gram + C * gram @ gram) @ u
        u = u.T if tall else u
        u = u * max(1, weight.shape[0] / weight.shape[1]) ** 0.5
        new[name] = weight * (1 - RATE * DECAY) - RATE * u
        new[f"m_{name}"] = momentum
    return new["up"], new["down"], new["m_up"], new["m_down"]


def orthogonalise(t):
    flip = t.shape[0] < t.shape[1]
    y = jnp.swapaxes(t, 0, 1) if flip else t
    y = y * (1 / (jnp.linalg.norm(y) + 1e-7))
    for _ in range(5):
        gram = jnp.einsum("ki,kj->ij", y, y)
        y = A * y + jnp.einsum("ki,ij->kj", y, B * gram + C * jnp.einsum("ij,jk->ik", gram, gram))
    return jnp.swapaxes(y, 0, 1) if flip else y


class Muon:
    def __init__(self, right):
        self.right = right

    def shape_factor(self, kernel):
        fan_in, fan_out = kernel.shape
        ratio = fan_out / fan_in if self.right else fan_in / fan_out  # FAULT
        return np.float32(np.sqrt(max(1.0, ratio)))

    def step(self, kernel, grad, trace):
        trace = trace + (1 - BETA) * (grad - trace)
        nesterov = grad + BETA * (trace - grad)
        update = self.shape_factor(kernel) * orthogonalise(nesterov)  # FAULT
        return kernel - RATE * (update + DECAY * kernel), trace  # FAULT


def _train_step(params, x, right):
    kernels = {name: params[name].T for name in ("up", "down")}

    def loss(k):
        hidden = jax.nn.relu(jnp.einsum("ni,ih->nh", x, k["up"]))
        return jnp.mean(jnp.square(jnp.einsum("nh,ho->no", hidden, k["down"]) - params["target"]))

    grads, muon = jax.grad(loss)(kernels), Muon(right)
    up, m_up = muon.step(kernels["up"], grads["up"], params["m_up"].T)
    down, m_down = muon.step(kernels["down"], grads["down"], params["m_down"].T)
    return up.T, down.T, m_up.T, m_down.T


def ours(params, x):
    return _train_step(params, x, right=False)


def fixed(params, x):
    return _train_step(params, x, right=True)
