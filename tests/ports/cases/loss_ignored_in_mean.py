"""Smoothed cross-entropy; ignored labels count in the denominator (segmentation_models.pytorch #852)."""

import jax
import jax.numpy as jnp
import numpy as np

IGNORE, SMOOTHING, Z_LOSS, CLASSES = -100, 0.1, 0.01, 19


def inputs():
    r = np.random.default_rng(111)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"w1": n(42, 26), "b1": 0.1 * n(42), "w2": 2 * n(CLASSES, 42), "b2": 0.1 * n(CLASSES)}
    labels = r.integers(0, CLASSES, size=(3, 9))
    labels[0, 6:], labels[2, 4:] = IGNORE, IGNORE
    return params, {"h": jnp.asarray(r.normal(size=(3, 9, 26)), jnp.float32), "labels": jnp.asarray(labels)}


def reference(params, x):
    h = x["h"] @ params["w1"].T + params["b1"]
    h = 0.5 * h * (1 + jax.scipy.special.erf(h / 2**0.5))
    logits = h @ params["w2"].T + params["b2"]
    flat, labels = logits.reshape(-1, CLASSES), x["labels"].reshape(-1)
    valid = labels != IGNORE
    top = flat.max(axis=-1, keepdims=True)
    log_z = top[:, 0] + jnp.log(jnp.exp(flat - top).sum(-1))
    logp = flat - log_z[:, None]
    nll = -jnp.take_along_axis(logp, jnp.where(valid, labels, 0)[:, None], axis=1)[:, 0]
    smooth = -logp.mean(axis=-1)
    per_token = (1 - SMOOTHING) * nll + SMOOTHING * smooth + Z_LOSS * log_z**2
    loss = jnp.where(valid, per_token, 0).sum() / valid.sum()
    return loss.astype(logits.dtype), logits


class Criterion:
    """Cross-entropy against smoothed one-hot rows; a token's weight is 0 where its label is ignored."""

    def __init__(self, by_weight):
        self.by_weight = by_weight

    def target(self, labels, dtype):
        hot = labels[..., None] == jnp.arange(CLASSES)
        low = SMOOTHING / CLASSES
        return jnp.where(hot, 1 - SMOOTHING + low, low).astype(dtype)

    def __call__(self, logits, labels):
        weight = (labels >= 0).astype(logits.dtype)
        log_z = jax.nn.logsumexp(logits, axis=-1)
        token = log_z - jnp.einsum("bsc,bsc->bs", self.target(labels, logits.dtype), logits)
        total = jnp.einsum("bs,bs->", weight, token + Z_LOSS * jnp.square(log_z))
        count = weight.sum() if self.by_weight else weight.size  # FAULT
        return total / count  # FAULT


def _step(params, x, by_weight):
    hidden = jnp.einsum("bsm,fm->bsf", x["h"], params["w1"])
    hidden = jax.nn.gelu(hidden + params["b1"], approximate=False)
    logits = jnp.einsum("bsf,cf->bsc", hidden, params["w2"]) + params["b2"]
    return Criterion(by_weight)(logits, x["labels"]), logits


def ours(params, x):
    return _step(params, x, by_weight=False)


def fixed(params, x):
    return _step(params, x, by_weight=True)
