"""A residual MLP of equinox modules on Fourier features; each example by itself, under vmap.

Its weights are the leaves of the module.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

LAYERS, WIDTH, FEATURES, OUTPUTS, BATCH = 3, 40, 16, 5, 6
EPSILON = 1e-5


def build(dtype):
    shapes = eqx.filter_eval_shape(Network, jax.random.key(0))
    rng = np.random.default_rng(1)

    def trained(path, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        noise, name = rng.standard_normal(leaf.shape), jax.tree_util.keystr(path)
        centre, scale = (1, 0.2) if "scale" in name else (0, leaf.shape[-1] ** -0.5)
        return jnp.asarray(centre + scale * noise, dtype)

    return Batched(jax.tree_util.tree_map_with_path(trained, shapes))


def inputs(dtype):
    return (jnp.asarray(np.random.default_rng(0).standard_normal((BATCH, 2)), dtype),)


class Norm(eqx.Module):
    """Root mean square norm."""

    scale: jax.Array

    def __call__(self, x):
        square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return x / jnp.sqrt(square + EPSILON) * self.scale


class Layer(eqx.Module):
    norm: Norm
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key)
        self.norm = Norm(jnp.ones(WIDTH))
        self.up = eqx.nn.Linear(WIDTH, 2 * WIDTH, key=keys[0])
        self.down = eqx.nn.Linear(2 * WIDTH, WIDTH, key=keys[1])

    def __call__(self, x, tap):
        h = tap("norm", self.norm(x))
        h = tap("up", self.up(h))
        h = tap("gelu", jax.nn.gelu(h, approximate=False))
        return tap("out", x + self.down(h))


class Network(eqx.Module):
    frequencies: jax.Array
    first: eqx.nn.Linear
    layers: list[Layer]
    last: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, LAYERS + 3)
        self.frequencies = jax.random.normal(keys[-1], (2, FEATURES))
        self.first = eqx.nn.Linear(2 * FEATURES, WIDTH, key=keys[-2])
        self.layers = [Layer(key) for key in keys[:LAYERS]]
        self.last = eqx.nn.Linear(WIDTH, OUTPUTS, key=keys[-3])

    def __call__(self, x, tap):
        angles = x @ self.frequencies
        features = tap("features", jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1))
        x = tap("first", self.first(features))
        for number, layer in enumerate(self.layers):
            x = layer(x, lambda name, value, n=number: tap(f"layers.{n}.{name}", value))
        return tap("last", self.last(x))


class Batched(eqx.Module):
    """A network for rows of examples."""

    network: Network

    def __call__(self, x, *, tap=lambda _, value: value):
        return jax.vmap(lambda row: self.network(row, tap))(x)
