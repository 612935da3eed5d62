"""VQ-VAE's gradient; the codebook's loss is taken after the straight-through step (jax-vqvae-gpt #2)."""

import jax
import jax.numpy as jnp
import numpy as np

BETA, CODES = 0.25, 13


def inputs():
    r = np.random.default_rng(113)
    n = lambda *s: jnp.asarray(r.normal(size=s) / np.sqrt(s[-1]), jnp.float32)
    params = {"e1": n(40, 27), "e2": 2 * n(12, 40), "book": 12**0.5 * n(CODES, 12)}
    params |= {"d1": n(38, 12), "d1_b": 0.1 * n(38), "d2": n(27, 38)}
    return params, jnp.asarray(r.normal(size=(3, 8, 27)), jnp.float32)


def reference(params, x):
    stop = jax.lax.stop_gradient

    def loss_fn(p):
        flat = x.reshape(-1, x.shape[-1])
        z = jnp.tanh(flat @ p["e1"].T) @ p["e2"].T
        distance = ((z[:, None, :] - p["book"][None]) ** 2).sum(-1)
        code = p["book"][jnp.argmin(distance, axis=1)]
        commit = ((z - stop(code)) ** 2).mean()
        codebook = ((stop(z) - code) ** 2).mean()
        passed = z + stop(code - z)
        decoded = jax.nn.silu(passed @ p["d1"].T + p["d1_b"]) @ p["d2"].T
        return ((decoded - flat) ** 2).mean() + codebook + BETA * commit

    loss, grads = jax.value_and_grad(loss_fn)(params)
    return loss, grads


class Quantizer:
    def __init__(self, book, right):
        self.book, self.right = book, right

    def nearest(self, z):
        closeness = jnp.einsum("btd,kd->btk", z, self.book) - jnp.einsum("kd,kd->k", self.book, self.book) / 2
        return jax.nn.one_hot(closeness.argmax(-1), CODES, dtype=z.dtype)

    def __call__(self, z):
        frozen = jax.lax.stop_gradient(z)
        code = jnp.einsum("btk,kd->btd", self.nearest(z), self.book)
        through = z + jax.lax.stop_gradient(code - z)
        pulled = code if self.right else through  # FAULT
        book_gap = pulled - frozen  # FAULT
        code_gap = jax.lax.stop_gradient(code) - z
        square = lambda t: jnp.einsum("btd,btd->", t, t)
        return through, (square(book_gap) + BETA * square(code_gap)) / z.size


def _objective(params, x, right):
    z = jnp.einsum("bth,dh->btd", jnp.tanh(jnp.einsum("bti,hi->bth", x, params["e1"])), params["e2"])
    through, extra = Quantizer(params["book"], right)(z)
    hidden = jnp.einsum("btd,hd->bth", through, params["d1"]) + params["d1_b"]
    decoded = jnp.einsum("bth,ih->bti", hidden / (1 + jnp.exp(-hidden)), params["d2"])
    miss = x - decoded
    return jnp.einsum("bti,bti->", miss, miss) / miss.size + extra


def ours(params, x):
    return jax.value_and_grad(_objective)(params, x, False)


def fixed(params, x):
    return jax.value_and_grad(_objective)(params, x, True)
