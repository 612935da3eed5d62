"""Label smoothing; the one-hot part is scaled by 1 - a / K instead of 1 - a (pytorch-randaugment #30)."""

import jax
import jax.numpy as jnp
import numpy as np

CLASSES, SMOOTHING = 7, 0.1
LABELS = np.array([[3, 0, 6, 2, 2, 5, 1, 4], [1, 4, 4, 0, 3, 0, 0, 0], [6, 5, 2, 1, 0, 3, 0, 0]])
LENGTHS = np.array([8, 5, 6])


def inputs():
    r = np.random.default_rng(70)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"w1": n(48, 32), "b1": 0.4 * n(48), "w2": n(32, 48), "b2": 0.4 * n(32), "head": 2 * n(CLASSES, 32)}
    params |= {"gain": jnp.asarray(1 + 0.2 * r.normal(size=32), jnp.float32), "bias": 0.5 * n(CLASSES)}
    params |= {"shift": jnp.asarray(0.2 * r.normal(size=32), jnp.float32)}
    return params, jnp.asarray(r.normal(size=(3, 8, 32)), jnp.float32)


def reference(params, x):
    h = jax.nn.silu(x @ params["w1"].T + params["b1"]) @ params["w2"].T + params["b2"]
    h = x + h
    mean = h.mean(-1, keepdims=True)
    h = (h - mean) / jnp.sqrt(jnp.square(h - mean).mean(-1, keepdims=True) + 1e-5) * params["gain"] + params["shift"]
    logprobs = jax.nn.log_softmax(h @ params["head"].T + params["bias"], axis=-1)
    nll = -jnp.take_along_axis(logprobs, jnp.asarray(LABELS)[..., None], axis=-1)[..., 0]
    smooth = -logprobs.mean(axis=-1)
    loss = (1.0 - SMOOTHING) * nll + SMOOTHING * smooth
    mask = jnp.asarray(np.arange(x.shape[1]) < LENGTHS[:, None], jnp.float32)
    return (loss * mask).sum() / mask.sum()


class Scorer:
    def __init__(self, params):
        self.p = params

    def features(self, x):
        inner = jnp.einsum("fm,bsm->fbs", self.p["w1"], x) + self.p["b1"][:, None, None]
        inner = inner / (1 + jnp.exp(-inner))
        x = x + jnp.einsum("mf,fbs->bsm", self.p["w2"], inner) + self.p["b2"]
        inverse = jax.lax.rsqrt(jnp.var(x, axis=-1, keepdims=True) + 1e-5) * self.p["gain"]
        return x * inverse + (self.p["shift"] - x.mean(-1, keepdims=True) * inverse)

    def __call__(self, x):
        return jnp.einsum("bsm,cm->bsc", self.features(x), self.p["head"]) + self.p["bias"]


class SmoothCrossEntropy:
    def __init__(self, smoothing, right):
        self.smoothing, self.right = smoothing, right

    def targets(self, labels):
        onehot = jax.nn.one_hot(labels, CLASSES)
        share = self.smoothing / CLASSES
        if self.right:
            return onehot * (1 - self.smoothing) + share
        return onehot * (1 - share) + share  # FAULT

    def __call__(self, logits, labels):
        shifted = logits - logits.max(-1, keepdims=True)
        logs = shifted - jnp.log(jnp.exp(shifted).sum(-1, keepdims=True))
        return -jnp.einsum("bsc,bsc->bs", self.targets(labels), logs)  # FAULT


def _loss(params, x, right):
    each = SmoothCrossEntropy(SMOOTHING, right)(Scorer(params)(x), LABELS)
    keep = np.arange(x.shape[1])[None] < LENGTHS[:, None]
    return jnp.where(keep, each, 0).sum() / np.float32(LENGTHS.sum())


def ours(params, x):
    return _loss(params, x, right=False)


def fixed(params, x):
    return _loss(params, x, right=True)
