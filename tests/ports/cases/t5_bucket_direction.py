"""T5 encoder; relative position buckets of the decoder's one-directional kind (mlx-examples #113)."""

import jax
import jax.numpy as jnp
import numpy as np

HEADS, DEPTH, BUCKETS, FARTHEST = 3, 10, 10, 19


def inputs():
    r = np.random.default_rng(108)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": 0.6 * n(30, 26), "k": n(30, 26), "v": n(30, 26), "o": n(26, 30)}
    params |= {"wi": n(44, 26), "wo": n(26, 44)}
    params["bias"] = jnp.asarray(r.normal(size=(BUCKETS, HEADS)), jnp.float32)
    params |= {f"ln{i}": jnp.asarray(1 + 0.1 * r.normal(size=26), jnp.float32) for i in range(2)}
    return params, jnp.asarray(r.normal(size=(2, 13, 26)), jnp.float32)


def reference(params, x):
    def ln(t, w):
        return w * (t * jax.lax.rsqrt(jnp.mean(t**2, axis=-1, keepdims=True) + 1e-6))

    b, s, _ = x.shape
    position = jnp.arange(s)[None, :] - jnp.arange(s)[:, None]
    half = BUCKETS // 2
    bucket = (position > 0).astype(jnp.int32) * half
    distance = jnp.abs(position)
    exact = half // 2
    large = jnp.log(jnp.maximum(distance, 1) / exact) / jnp.log(FARTHEST / exact) * (half - exact)
    large = jnp.minimum(exact + large.astype(jnp.int32), half - 1)
    bucket = bucket + jnp.where(distance < exact, distance, large)
    bias = params["bias"][bucket].transpose(2, 0, 1)[None]
    h = ln(x, params["ln0"])
    q, k, v = ((h @ params[n].T).reshape(b, s, HEADS, DEPTH).transpose(0, 2, 1, 3) for n in "qkv")
    y = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) + bias, axis=-1) @ v
    x = x + y.transpose(0, 2, 1, 3).reshape(b, s, -1) @ params["o"].T
    h = ln(x, params["ln1"])
    return x + jax.nn.relu(h @ params["wi"].T) @ params["wo"].T


def edges(count):
    """The distances at which a new bucket starts."""
    exact = count // 2
    growth = (FARTHEST / exact) ** (np.arange(1, count - exact) / (count - exact))
    return np.concatenate([np.arange(1, exact + 1), np.ceil(exact * growth)]).astype(int)


def buckets(length, bidirectional):
    ahead = np.arange(length) - np.arange(length)[:, None]
    if bidirectional:
        near = np.searchsorted(edges(BUCKETS // 2), np.abs(ahead), side="right")
        return np.where(ahead > 0, BUCKETS // 2 + near, near)
    return np.searchsorted(edges(BUCKETS), np.maximum(-ahead, 0), side="right")  # FAULT


class Encoder:
    def __init__(self, params, bidirectional):
        self.params, self.bidirectional = params, bidirectional

    def norm(self, t, weight):
        mean_square = jnp.einsum("bsm,bsm->bs", t, t) / t.shape[-1]
        return t / jnp.sqrt(mean_square + 1e-6)[..., None] * weight

    def attention(self, t):
        project = lambda name: jnp.einsum("bsm,hdm->hbsd", t, self.params[name].reshape(HEADS, DEPTH, -1))
        table = jax.nn.one_hot(buckets(t.shape[1], self.bidirectional), BUCKETS)  # FAULT
        bias = jnp.einsum("qkn,nh->hqk", table, self.params["bias"])
        scores = bias[:, None] + jnp.einsum("hbqd,hbkd->hbqk", project("q"), project("k"))
        weights = jnp.exp(scores - jax.nn.logsumexp(scores, axis=-1, keepdims=True))
        out = self.params["o"].reshape(-1, HEADS, DEPTH)
        return jnp.einsum("hbqk,hbkd,mhd->bqm", weights, project("v"), out)

    def __call__(self, t):
        t = t + self.attention(self.norm(t, self.params["ln0"]))
        hidden = jnp.einsum("bsm,fm->bsf", self.norm(t, self.params["ln1"]), self.params["wi"])
        return t + jnp.einsum("bsf,mf->bsm", jnp.maximum(hidden, 0), self.params["wo"])


def ours(params, x):
    return Encoder(params, bidirectional=False)(x)  # FAULT


def fixed(params, x):
    return Encoder(params, bidirectional=True)(x)
