"""Gated DeltaNet recurrence; the prediction error is taken from the state before it decays (flash-linear-attention #885)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, KEY, VALUE = 2, 8, 16


def inputs():
    r = np.random.default_rng(103)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(HEADS * KEY, 32), "k": n(HEADS * KEY, 32), "v": n(HEADS * VALUE, 32), "o": n(32, HEADS * VALUE)}
    params |= {"a": n(HEADS, 32), "beta": n(HEADS, 32), "g": n(HEADS * VALUE, 32)}
    params |= {"A_log": jnp.asarray(0.3 * r.normal(size=HEADS), jnp.float32), "dt": n(HEADS)}
    params["norm"] = jnp.asarray(1 + 0.2 * r.normal(size=VALUE), jnp.float32)
    return params, jnp.asarray(r.normal(size=(2, 9, 32)), jnp.float32)


def reference(params, x):
    def unit(t):
        return t / jnp.sqrt(jnp.sum(t * t, -1, keepdims=True) + 1e-6)

    def one_head(q, k, v, g, beta):
        S = jnp.zeros((KEY, VALUE))
        out = []
        for t in range(q.shape[0]):
            S = S * jnp.exp(g[t])
            err = (v[t] - k[t] @ S) * beta[t]
            S = S + k[t][:, None] * err[None, :]
            out.append(q[t] @ S)
        return jnp.stack(out)

    b, s, _ = x.shape
    split = lambda w, d: (x @ w.T).reshape(b, s, HEADS, d).transpose(0, 2, 1, 3)
    q, k, v = unit(split(params["q"], KEY)) * KEY**-0.5, unit(split(params["k"], KEY)), split(params["v"], VALUE)
    g = (-jnp.exp(params["A_log"]) * jax.nn.softplus(x @ params["a"].T + params["dt"])).transpose(0, 2, 1)
    beta = jax.nn.sigmoid(x @ params["beta"].T).transpose(0, 2, 1)
    y = jax.vmap(jax.vmap(one_head))(q, k, v, g, beta)
    y = y * jax.lax.rsqrt(jnp.mean(y**2, -1, keepdims=True) + 1e-5) * params["norm"]
    y = y * jax.nn.silu(split(params["g"], VALUE))
    return y.transpose(0, 2, 1, 3).reshape(b, s, -1) @ params["o"].T


class GatedDelta:
    def __init__(self, params, right):
        self.p, self.right = params, right

    def project(self, name, x, size):
        return jnp.einsum("bsm,hdm->sbhd", x, self.p[name].reshape(HEADS, size, -1))

    def step(self, memory, now):
        q, k, v, keep, rate = now
        faded = keep[..., None, None] * memory
        if self.right:
            recalled = jnp.einsum("bhvk,bhk->bhv", faded, k)
        else:
            recalled = jnp.einsum("bhvk,bhk->bhv", memory, k)  # FAULT
        write = rate[..., None] * (v - recalled)  # FAULT
        memory = faded + jnp.einsum("bhv,bhk->bhvk", write, k)
        return memory, jnp.einsum("bhvk,bhk->bhv", memory, q)

    def __call__(self, x):
        q, k = self.project("q", x, KEY), self.project("k", x, KEY)
        q = q * (jax.lax.rsqrt(jnp.einsum("...d,...d->...", q, q) + 1e-6) / np.sqrt(KEY))[..., None]
        k = k * jax.lax.rsqrt(jnp.einsum("...d,...d->...", k, k) + 1e-6)[..., None]
        v = self.project("v", x, VALUE)
        raw = jnp.einsum("bsm,hm->sbh", x, self.p["a"]) + self.p["dt"]
        keep = jnp.power(1 + jnp.exp(raw), -jnp.exp(self.p["A_log"]))
        rate = 1 / (1 + jnp.exp(-jnp.einsum("bsm,hm->sbh", x, self.p["beta"])))
        start = jnp.zeros((x.shape[0], HEADS, VALUE, KEY))
        _, y = jax.lax.scan(self.step, start, (q, k, v, keep, rate))
        y = y / jnp.sqrt(jnp.einsum("...d,...d->...", y, y) / VALUE + 1e-5)[..., None]
        gate = self.project("g", x, VALUE)
        y = y * (self.p["norm"] * gate * jax.nn.sigmoid(gate))
        return jnp.einsum("sbhd,mhd->bsm", y, self.p["o"].reshape(-1, HEADS, VALUE))


def ours(params, x):
    return GatedDelta(params, right=False)(x)


def fixed(params, x):
    return GatedDelta(params, right=True)(x)
