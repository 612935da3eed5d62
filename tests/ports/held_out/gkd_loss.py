"""Generalised Jensen-Shannon distillation; the mixture gives beta to the student, not the teacher (trl #3043)."""

import jax
import jax.numpy as jnp
import numpy as np

BETA, TEMPERATURE = 0.2, 0.9


def inputs():
    r = np.random.default_rng(110)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"student": n(48, 32), "teacher": 1.5 * n(48, 40), "b_student": n(48)}
    params |= {"wide": n(40, 32), "narrow": n(32, 32)}
    params["norm"] = jnp.asarray(1 + 0.1 * r.normal(size=32), jnp.float32)
    params["mask"] = jnp.asarray(np.arange(10) < np.array([[10], [6]]), jnp.float32)
    return params, jnp.asarray(2 * r.normal(size=(2, 10, 32)), jnp.float32)


def reference(params, x):
    h = x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * params["norm"]
    student = (jnp.tanh(h @ params["narrow"].T) @ params["student"].T + params["b_student"]) / TEMPERATURE
    teacher = (jax.nn.relu(h @ params["wide"].T) @ params["teacher"].T) / TEMPERATURE
    s, t = jax.nn.log_softmax(student, axis=-1), jax.nn.log_softmax(teacher, axis=-1)
    mixture = jnp.log(BETA * jnp.exp(t) + (1 - BETA) * jnp.exp(s))
    kl_teacher = jnp.exp(t) * (t - mixture)
    kl_student = jnp.exp(s) * (s - mixture)
    per_token = (BETA * kl_teacher + (1 - BETA) * kl_student).sum(-1)
    return (per_token * params["mask"]).sum() / params["mask"].sum(), per_token


class Towers:
    def __init__(self, params):
        self.p = params

    def features(self, x):
        size = jnp.sqrt(jnp.einsum("bsm,bsm->bs", x, x) / x.shape[-1] + 1e-6)
        return self.p["norm"] * (x / size[..., None])

    def student(self, h):
        inner = jnp.tanh(jnp.einsum("bsm,fm->bsf", h, self.p["narrow"]))
        return jnp.einsum("bsf,vf->bsv", inner, self.p["student"]) + self.p["b_student"]

    def teacher(self, h):
        inner = jnp.maximum(jnp.einsum("bsm,fm->bsf", h, self.p["wide"]), 0)
        return jnp.einsum("bsf,vf->bsv", inner, self.p["teacher"])


def divergence(log_p, log_q):
    """KL(p || q) for each token."""
    return jnp.einsum("bsv,bsv->bs", jnp.exp(log_p), log_p - log_q)


def generalised_jsd(student_logits, teacher_logits, right):
    scaled = jnp.stack([student_logits, teacher_logits]) * np.float32(1 / TEMPERATURE)
    scaled = scaled - jax.nn.logsumexp(scaled, axis=-1, keepdims=True)
    student, teacher = scaled
    shares = np.log([1 - BETA, BETA] if right else [BETA, 1 - BETA])  # FAULT
    shares = jnp.asarray(shares, jnp.float32)
    mixture = jax.nn.logsumexp(scaled + shares[:, None, None, None], axis=0)  # FAULT
    return BETA * divergence(teacher, mixture) + (1 - BETA) * divergence(student, mixture)


def _loss(params, x, right):
    towers = Towers(params)
    h = towers.features(x)
    tokens = generalised_jsd(towers.student(h), towers.teacher(h), right)
    share = params["mask"] / jnp.sum(params["mask"])
    return jnp.vdot(tokens, share), tokens


def ours(params, x):
    return _loss(params, x, right=False)


def fixed(params, x):
    return _loss(params, x, right=True)
