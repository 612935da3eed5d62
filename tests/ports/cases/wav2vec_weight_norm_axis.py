"""wav2vec2 positional convolution; weight norm per filter, not per tap (its port: transformers #11617)."""

import jax
import jax.numpy as jnp
import numpy as np

WIDTH, GROUPS, TAPS = 32, 4, 6


def inputs():
    r = np.random.default_rng(308)
    n = lambda *s: jnp.asarray(r.normal(size=s), jnp.float32)
    v = r.normal(size=(WIDTH, WIDTH // GROUPS, TAPS)) * r.uniform(0.2, 1.0, TAPS)
    params = {"weight_v": jnp.asarray(v, jnp.float32)}
    params["weight_g"] = jnp.asarray(r.uniform(1, 4, (1, 1, TAPS)), jnp.float32)
    params |= {"bias": 0.2 * n(WIDTH), "norm": 1 + 0.2 * n(WIDTH), "norm_b": 0.2 * n(WIDTH)}
    params |= {"up": n(WIDTH, WIDTH) / 6, "up_b": 0.1 * n(WIDTH)}
    return params, n(2, 10, WIDTH)


def reference(params, x):
    v = params["weight_v"]
    weight = params["weight_g"] * v / jnp.sqrt((v**2).sum((0, 1), keepdims=True))
    h = jax.lax.conv_general_dilated(
        x.transpose(0, 2, 1), weight, (1,), [(TAPS // 2, TAPS // 2)], feature_group_count=GROUPS
    )
    h = h + params["bias"][:, None]
    h = jax.nn.gelu(h[:, :, :-1], approximate=False)
    x = x + h.transpose(0, 2, 1)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / jnp.sqrt(var + 1e-5) * params["norm"] + params["norm_b"]
    return x + jax.nn.gelu(x @ params["up"].T + params["up_b"], approximate=False)


def _gelu(t):
    return t * (0.5 + 0.5 * jax.lax.erf(t * np.sqrt(0.5).item()))


class PositionalConv:
    """One sequence, time first."""

    def __init__(self, params):
        self.direction, self.length, self.bias = params["weight_v"], params["weight_g"], params["bias"]

    def inverse_norm(self):
        power = jnp.einsum("oit,oit->o", self.direction, self.direction)  # FAULT
        return jax.lax.rsqrt(power)[:, None, None]

    def kernel(self):
        full = self.direction * (self.inverse_norm() * self.length)  # FAULT
        return full.reshape(GROUPS, WIDTH // GROUPS, WIDTH // GROUPS, TAPS)

    def __call__(self, sequence):
        steps = sequence.shape[0]
        framed = jnp.pad(sequence, ((TAPS // 2, TAPS // 2 - 1), (0, 0))).reshape(-1, GROUPS, WIDTH // GROUPS)
        windows = framed[jnp.arange(steps)[:, None] + jnp.arange(TAPS)]
        out = jnp.einsum("stgi,goit->sgo", windows, self.kernel())
        return _gelu(out.reshape(steps, WIDTH) + self.bias)


class TapNormConv(PositionalConv):
    def inverse_norm(self):
        power = jnp.einsum("oit,oit->t", self.direction, self.direction)
        return jax.lax.rsqrt(power)


def _encoder(params, x, conv):
    def sequence(t):
        t = t + conv(t)
        t = t - jnp.einsum("sc->s", t)[:, None] / WIDTH
        scale = jax.lax.rsqrt(jnp.einsum("sc,sc->s", t, t) / WIDTH + 1e-5)
        t = t * scale[:, None] * params["norm"] + params["norm_b"]
        return t + _gelu(jnp.einsum("sc,oc->so", t, params["up"]) + params["up_b"])

    return jax.vmap(sequence)(x)


def ours(params, x):
    return _encoder(params, x, PositionalConv(params))


def fixed(params, x):
    return _encoder(params, x, TapNormConv(params))
