"""DPO loss on a joined batch; only the chosen half's prompts are masked, the rejected half's count as answer (OpenRLHF #294)."""

import jax
import jax.numpy as jnp
import numpy as np

VOCAB, BETA = 24, 0.3
PROMPTS = (3, 2, 4)


def inputs():
    r = np.random.default_rng(105)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    net = lambda: {"emb": 6 * n(VOCAB, 32), "mix": n(32, 32), "up": n(48, 64), "b": n(48), "head": 2 * n(VOCAB, 48)}
    tokens = r.integers(0, VOCAB, size=(2, 3, 10))
    for i, length in enumerate(PROMPTS):
        tokens[1, i, :length] = tokens[0, i, :length]
    return {"policy": net(), "frozen": net()}, jnp.asarray(tokens, jnp.int32)


def reference(params, x):
    def log_prob(net, ids, prompt):
        e = net["emb"][ids]
        past = jnp.cumsum(e, axis=0) / jnp.arange(1, len(ids) + 1)[:, None]
        h = jnp.concatenate([e, past @ net["mix"].T], axis=-1)
        h = jnp.tanh(h @ net["up"].T + net["b"])
        logp = jax.nn.log_softmax(h @ net["head"].T, axis=-1)
        picked = jnp.take_along_axis(logp[:-1], ids[1:, None], axis=1)[:, 0]
        return jnp.sum(picked[prompt - 1 :])

    losses = []
    for i, prompt in enumerate(PROMPTS):
        win = log_prob(params["policy"], x[0, i], prompt) - log_prob(params["frozen"], x[0, i], prompt)
        lose = log_prob(params["policy"], x[1, i], prompt) - log_prob(params["frozen"], x[1, i], prompt)
        losses.append(-jnp.log(jax.nn.sigmoid(BETA * (win - lose))))
    return jnp.stack(losses).mean()


class Model:
    def __init__(self, net):
        self.net = net

    def __call__(self, ids):
        n = ids.shape[1]
        vectors = jax.nn.one_hot(ids, VOCAB) @ self.net["emb"]
        average = jnp.tril(jnp.ones((n, n))) / (1.0 + jnp.arange(n))[:, None]
        context = jnp.einsum("qk,bkm->bqm", average, vectors)
        left, right = jnp.split(self.net["up"], 2, axis=1)
        inner = vectors @ left.T + jnp.einsum("bqm,nm,fn->bqf", context, self.net["mix"], right)
        return jnp.einsum("bqf,vf->bqv", jnp.tanh(inner + self.net["b"]), self.net["head"])


def answer_mask(rows, length, right):
    mask = np.ones((rows, length), np.float32)
    prompts = PROMPTS * 2 if right else PROMPTS  # FAULT
    for row, prompt in zip(mask, prompts):
        row[:prompt] = 0
    return jnp.asarray(mask)  # FAULT


def sequence_log_prob(logits, ids, mask):
    shifted, labels = logits[:, :-1], ids[:, 1:]
    chosen = jnp.einsum("btv,btv->bt", shifted, jax.nn.one_hot(labels, VOCAB))
    per_token = chosen - jax.nn.logsumexp(shifted, axis=-1)
    return jnp.sum(per_token * mask[:, 1:], axis=-1)  # FAULT


def _dpo(params, x, right):
    ids = x.reshape(-1, x.shape[-1])
    mask = answer_mask(*ids.shape, right)
    policy = sequence_log_prob(Model(params["policy"])(ids), ids, mask)
    frozen = sequence_log_prob(Model(params["frozen"])(ids), ids, mask)
    ratios = (policy - frozen).reshape(2, -1)
    margin = (ratios[0] - ratios[1]) * BETA
    return jnp.mean(jax.nn.softplus(-margin))


def ours(params, x):
    return _dpo(params, x, right=False)


def fixed(params, x):
    return _dpo(params, x, right=True)
