"""DeepSeek MLA with YaRN; the softmax scale lacks mscale squared (onnxruntime/mobius #548, transformers #47435)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

HEADS, NOPE, ROPE, VALUE, RANK = 4, 8, 8, 8, 16
FACTOR, ORIGINAL, FAST, SLOW, MSCALE = 40.0, 64, 32, 1, 0.707


def inputs():
    r = np.random.default_rng(116)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"q": n(HEADS * (NOPE + ROPE), 32), "kv_a": n(RANK + ROPE, 32), "kv_b": n(HEADS * (NOPE + VALUE), RANK)}
    params |= {"norm": jnp.asarray(1 + 0.2 * r.normal(size=RANK), jnp.float32), "o": n(32, HEADS * VALUE)}
    return params, jnp.asarray(r.normal(size=(2, 8, 32)), jnp.float32)


def reference(params, x):
    correction = lambda turns: ROPE * math.log(ORIGINAL / (turns * 2 * math.pi)) / (2 * math.log(10000))
    low, high = max(math.floor(correction(FAST)), 0), min(math.ceil(correction(SLOW)), ROPE - 1)
    keep = 1 - np.clip((np.arange(ROPE // 2) - low) / (high - low), 0, 1)
    extra = 1.0 / 10000 ** (np.arange(0, ROPE, 2) / ROPE)
    emb = np.tile(np.outer(np.arange(x.shape[1]), extra / FACTOR * (1 - keep) + extra * keep), 2)
    cos, sin = np.cos(emb).astype(np.float32), np.sin(emb).astype(np.float32)

    def rope(t):
        t = t.reshape(*t.shape[:-1], ROPE // 2, 2).swapaxes(-1, -2).reshape(t.shape)
        return t * cos + jnp.concatenate([-t[..., ROPE // 2 :], t[..., : ROPE // 2]], -1) * sin

    b, s, _ = x.shape
    q = (x @ params["q"].T).reshape(b, s, HEADS, NOPE + ROPE).transpose(0, 2, 1, 3)
    latent, k_rope = jnp.split(x @ params["kv_a"].T, [RANK], axis=-1)
    latent = latent * jax.lax.rsqrt((latent**2).mean(-1, keepdims=True) + 1e-6) * params["norm"]
    kv = (latent @ params["kv_b"].T).reshape(b, s, HEADS, NOPE + VALUE).transpose(0, 2, 1, 3)
    k = jnp.concatenate([kv[..., :NOPE], jnp.broadcast_to(rope(k_rope)[:, None], (b, HEADS, s, ROPE))], -1)
    q = jnp.concatenate([q[..., :NOPE], rope(q[..., NOPE:])], -1)
    a = q @ k.transpose(0, 1, 3, 2) * ((NOPE + ROPE) ** -0.5 * (0.1 * MSCALE * math.log(FACTOR) + 1) ** 2)
    a = jax.nn.softmax(jnp.where(np.tri(s, dtype=bool), a, -1e9), axis=-1)
    return (a @ kv[..., NOPE:]).transpose(0, 2, 1, 3).reshape(b, s, -1) @ params["o"].T


def yarn_angles(length):
    index = jnp.arange(ROPE // 2)
    turns = lambda n: ROPE / 2 * math.log(ORIGINAL / n / math.tau, 10000)
    first, last = max(math.floor(turns(FAST)), 0), min(math.ceil(turns(SLOW)), ROPE - 1)
    ramp = jnp.clip((index - first) / (last - first), 0, 1)
    rate = jnp.exp(index * (-2 * math.log(10000) / ROPE)) * (1 + ramp * (1 / FACTOR - 1))
    return jnp.arange(length)[:, None] * rate


def interleaved(t, angle):
    even, odd = t[..., 0::2], t[..., 1::2]
    turned = even * jnp.cos(angle) - odd * jnp.sin(angle), even * jnp.sin(angle) + odd * jnp.cos(angle)
    return jnp.stack(turned, axis=-1).reshape(t.shape)


class AbsorbedMLA:
    def __init__(self, params, right):
        self.p = params
        self.scale = 1 / math.sqrt(NOPE + ROPE)  # FAULT
        if right:
            self.scale *= (1 + 0.1 * MSCALE * math.log(FACTOR)) ** 2

    def __call__(self, x):
        up_key, up_value = jnp.split(self.p["kv_b"].reshape(HEADS, -1, RANK), [NOPE], axis=1)
        q = jnp.einsum("bsm,hdm->bshd", x, self.p["q"].reshape(HEADS, -1, 32))
        latent = jnp.einsum("bsm,cm->bsc", x, self.p["kv_a"][:RANK])
        latent = latent / jnp.sqrt(jnp.einsum("bsc,bsc->bs", latent, latent)[..., None] / RANK + 1e-6) * self.p["norm"]
        angle = yarn_angles(x.shape[1])
        k_rope = interleaved(jnp.einsum("bsm,dm->bsd", x, self.p["kv_a"][RANK:]), angle)
        scores = jnp.einsum("bqhd,bkd->bqhk", interleaved(q[..., NOPE:], angle[:, None]), k_rope)
        scores = scores + jnp.einsum("bqhd,hdc,bkc->bqhk", q[..., :NOPE], up_key, latent)
        future = jnp.arange(x.shape[1]) > jnp.arange(x.shape[1])[:, None, None]
        scores = jnp.where(future, -jnp.inf, scores * self.scale)  # FAULT
        weights = jnp.exp(scores - jax.nn.logsumexp(scores, axis=-1, keepdims=True))
        mixed = jnp.einsum("bqhk,bkc,hvc->bqhv", weights, latent, up_value)
        return jnp.einsum("bqhv,mhv->bqm", mixed, self.p["o"].reshape(-1, HEADS, VALUE))


def ours(params, x):
    return AbsorbedMLA(params, right=False)(x)


def fixed(params, x):
    return AbsorbedMLA(params, right=True)(x)
