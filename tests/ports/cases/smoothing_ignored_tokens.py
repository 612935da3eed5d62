"""Cross-entropy with label smoothing; the uniform part also counts the ignored tokens (pytorch #73205, tinygrad #3570)."""

import jax
import jax.numpy as jnp
import numpy as np

VOCAB, EPS, IGNORE = 40, 0.1, -100


def inputs():
    r = np.random.default_rng(104)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"w1": n(48, 32), "b1": n(48), "g": jnp.asarray(1 + 0.2 * r.normal(size=48), jnp.float32)}
    params |= {"head": 2 * n(VOCAB, 48), "bias": 0.5 * n(VOCAB)}
    labels = r.integers(0, VOCAB, size=(3, 8))
    labels[0, 6:], labels[1, 3:], labels[2, :1] = IGNORE, IGNORE, IGNORE
    return params, {"hidden": jnp.asarray(r.normal(size=(3, 8, 32)), jnp.float32), "labels": jnp.asarray(labels, jnp.int32)}


def reference(params, x):
    h = jax.nn.silu(x["hidden"] @ params["w1"].T + params["b1"])
    h = h / jnp.sqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6) * params["g"]
    log_probs = jax.nn.log_softmax(h @ params["head"].T + params["bias"], axis=-1).reshape(-1, VOCAB)
    labels = x["labels"].reshape(-1)
    total, count = 0.0, 0.0
    for i in range(labels.shape[0]):
        target = jnp.maximum(labels[i], 0)
        q = jnp.full((VOCAB,), EPS / VOCAB).at[target].add(1 - EPS)
        keep = (labels[i] != IGNORE).astype(jnp.float32)
        total = total - keep * jnp.sum(q * log_probs[i])
        count = count + keep
    return total / count


class SmoothedLoss:
    def __init__(self, smoothing, right):
        self.smoothing, self.right = smoothing, right

    def __call__(self, logits, labels):
        valid = labels != IGNORE
        partition = jax.nn.logsumexp(logits, axis=-1)
        onehot = jax.nn.one_hot(jnp.where(valid, labels, 0), VOCAB)
        sharp = partition - jnp.einsum("bsv,bsv->bs", onehot, logits)
        flat = partition - jnp.mean(logits, axis=-1)
        tokens = jnp.sum(valid)
        sharp = jnp.sum(jnp.where(valid, sharp, 0.0)) / tokens
        if self.right:
            flat = jnp.sum(jnp.where(valid, flat, 0.0)) / tokens
        else:
            flat = jnp.sum(flat) / tokens  # FAULT
        return sharp * (1 - self.smoothing) + flat * self.smoothing


def _model(params, hidden):
    inner = jnp.einsum("bsm,fm->bsf", hidden, params["w1"]) + params["b1"]
    inner = inner * jax.nn.sigmoid(inner)
    size = jax.lax.rsqrt(jnp.einsum("bsf,bsf->bs", inner, inner) / inner.shape[-1] + 1e-6)
    return jnp.einsum("bsf,vf->bsv", inner * size[..., None], params["head"] * params["g"]) + params["bias"]


def ours(params, x):
    return SmoothedLoss(EPS, right=False)(_model(params, x["hidden"]), x["labels"])


def fixed(params, x):
    return SmoothedLoss(EPS, right=True)(_model(params, x["hidden"]), x["labels"])
