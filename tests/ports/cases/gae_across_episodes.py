"""PPO with GAE; the running advantage passes an episode's end (Super-mario-bros-PPO-pytorch #21)."""

import jax
import jax.numpy as jnp
import numpy as np

STEPS, ENVS, SEEN, HIDDEN, ACTIONS = 10, 2, 16, 24, 5
GAMMA, LAMBDA, CLIP, VALUE = 0.97, 0.9, 0.2, 0.5


def inputs():
    r = np.random.default_rng(313)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"body": n(HIDDEN, SEEN), "body_b": n(HIDDEN), "actor": n(ACTIONS, HIDDEN)}
    params["critic"] = n(1, HIDDEN)
    done = np.zeros((STEPS, ENVS))
    done[[2, 6], 0] = done[[4, 7], 1] = 1
    rollout = {"obs": r.normal(size=(STEPS + 1, ENVS, SEEN)), "done": done}
    rollout["reward"] = r.normal(size=(STEPS, ENVS)) + 0.6
    rollout["logp"] = np.log(r.dirichlet(np.full(ACTIONS, 4.0), (STEPS, ENVS))[..., 0])
    rollout = {k: jnp.asarray(v, jnp.float32) for k, v in rollout.items()}
    rollout["action"] = jnp.asarray(r.integers(ACTIONS, size=(STEPS, ENVS)))
    return params, rollout


def reference(params, rollout):
    h = jnp.tanh(rollout["obs"] @ params["body"].T + params["body_b"])
    values = (h @ params["critic"].T)[..., 0]
    logp_all = jax.nn.log_softmax(h[:-1] @ params["actor"].T, axis=-1)
    logp = jnp.take_along_axis(logp_all, rollout["action"][..., None], axis=-1)[..., 0]
    gae, advantages = jnp.zeros_like(values[0]), []
    for t in reversed(range(STEPS)):
        alive = 1 - rollout["done"][t]
        delta = rollout["reward"][t] + GAMMA * values[t + 1] * alive - values[t]
        gae = delta + GAMMA * LAMBDA * alive * gae
        advantages.insert(0, gae)
    advantages = jnp.stack(advantages)
    returns = advantages + values[:-1]
    normed = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    ratio = jnp.exp(logp - rollout["logp"])
    policy = -jnp.minimum(ratio * normed, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * normed).mean()
    value_loss = 0.5 * ((values[:-1] - jax.lax.stop_gradient(returns)) ** 2).mean()
    return {"advantages": advantages, "returns": returns, "loss": policy + VALUE * value_loss}


class Estimator:
    def follow(self, ahead, live):
        return GAMMA * LAMBDA * ahead  # FAULT

    def step(self, ahead, now):
        reward, value, following, live = now
        error = reward - value + live * following * GAMMA
        ahead = error + self.follow(ahead, live)  # FAULT
        return ahead, ahead

    def __call__(self, rewards, values, ended):
        track = (rewards, values[:-1], values[1:], 1 - ended)
        return jax.lax.scan(self.step, jnp.zeros((), values.dtype), track, reverse=True)[1]


class EpisodeEstimator(Estimator):
    def follow(self, ahead, live):
        return jnp.where(live > 0, GAMMA * LAMBDA * ahead, 0)


def _loss(params, rollout, estimator):
    features = jnp.tanh(jnp.einsum("tns,hs->nth", rollout["obs"], params["body"]) + params["body_b"])
    values = jnp.einsum("nth,h->nt", features, params["critic"][0])
    logits = jnp.einsum("nth,ah->nta", features[:, :-1], params["actor"])
    picked = jax.nn.one_hot(rollout["action"].T, ACTIONS, dtype=logits.dtype)
    logp = jnp.einsum("nta,nta->nt", logits, picked) - jax.nn.logsumexp(logits, axis=-1)
    gain = jax.vmap(estimator)(rollout["reward"].T, values, rollout["done"].T)
    centred = gain - gain.sum() / gain.size
    spread = jnp.sqrt(jnp.vdot(centred, centred) / (gain.size - 1))
    scaled = centred / (spread + 1e-8)
    ratio = jnp.exp(logp) / jnp.exp(rollout["logp"].T)
    bound = jnp.where(scaled > 0, jnp.minimum(ratio, 1 + CLIP), jnp.maximum(ratio, 1 - CLIP))
    squared = jnp.square(jax.lax.stop_gradient(gain + values[:, :-1]) - values[:, :-1])
    loss = (0.5 * VALUE * squared - bound * scaled).mean()
    return {"advantages": gain.T, "returns": (gain + values[:, :-1]).T, "loss": loss}


def ours(params, rollout):
    return _loss(params, rollout, Estimator())


def fixed(params, rollout):
    return _loss(params, rollout, EpisodeEstimator())
