"""VQ-VAE gradients; the codebook loss comes after the straight-through trick, so the codebook learns nothing (jax-vqvae-gpt #2)."""

import jax
import jax.numpy as jnp
import numpy as np

BETA = 0.25


def inputs():
    r = np.random.default_rng(106)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"enc1": n(40, 32), "enc_b": n(40), "enc2": n(8, 40), "codes": 3 * n(12, 8)}
    params |= {"dec1": n(40, 8), "dec_b": n(40), "dec2": n(32, 40)}
    return params, jnp.asarray(r.normal(size=(2, 6, 32)), jnp.float32)


def reference(params, x):
    def loss(p):
        flat = x.reshape(-1, 32)
        z = jax.nn.relu(flat @ p["enc1"].T + p["enc_b"]) @ p["enc2"].T
        far = ((z[:, None, :] - p["codes"][None]) ** 2).sum(-1)
        e = p["codes"][far.argmin(-1)]
        codebook = ((e - jax.lax.stop_gradient(z)) ** 2).mean()
        commit = ((z - jax.lax.stop_gradient(e)) ** 2).mean()
        q = z + jax.lax.stop_gradient(e - z)
        y = jax.nn.relu(q @ p["dec1"].T + p["dec_b"]) @ p["dec2"].T
        return ((y - flat) ** 2).mean() + codebook + BETA * commit

    value, grads = jax.value_and_grad(loss)(params)
    return value, grads


class Quantizer:
    def __init__(self, table, right):
        self.table, self.right = table, right

    def nearest(self, z):
        cross = jnp.einsum("bsd,kd->bsk", z, self.table)
        return jnp.argmax(2 * cross - jnp.sum(self.table * self.table, axis=-1), axis=-1)

    def __call__(self, z):
        index = jax.lax.stop_gradient(self.nearest(z))
        vectors = jnp.einsum("bsk,kd->bsd", jax.nn.one_hot(index, len(self.table)), self.table)
        passed = jax.lax.stop_gradient(vectors - z) + z  # FAULT
        kept = vectors if self.right else passed  # FAULT
        pull = jnp.square(jnp.subtract(jax.lax.stop_gradient(z), kept))  # FAULT
        stay = jnp.square(jnp.subtract(jax.lax.stop_gradient(kept), z))
        return passed, jnp.mean(pull), jnp.mean(stay)


class Autoencoder:
    def __init__(self, params, right):
        self.p, self.right = params, right

    def encode(self, x):
        hidden = jnp.einsum("bsm,fm->bsf", x, self.p["enc1"]) + self.p["enc_b"]
        return jnp.einsum("bsf,df->bsd", jnp.where(hidden > 0, hidden, 0), self.p["enc2"])

    def decode(self, q):
        hidden = jnp.einsum("bsd,fd->bsf", q, self.p["dec1"]) + self.p["dec_b"]
        return jnp.einsum("bsf,mf->bsm", jnp.where(hidden > 0, hidden, 0), self.p["dec2"])

    def loss(self, x):
        q, pull, stay = Quantizer(self.p["codes"], self.right)(self.encode(x))
        missed = x - self.decode(q)
        return jnp.einsum("bsm,bsm->", missed, missed) / x.size + stay * BETA + pull


def _train(params, x, right):
    objective = lambda p: Autoencoder(p, right).loss(x)
    value, pullback = jax.vjp(objective, params)
    return value, pullback(jnp.float32(1.0))[0]


def ours(params, x):
    return _train(params, x, right=False)


def fixed(params, x):
    return _train(params, x, right=True)
