"""An image classifier of flax.linen modules: convolutions, BatchNorm, residual blocks, pooling.

Its weights and running means are an argument of `apply`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

WIDTH, CLASSES, SIZE = 24, 10, 20
EPSILON = 1e-3
MOMENTUM = 0.9


def build(dtype):
    return Classifier(dtype).apply


def build_training(dtype):
    """The step that also updates the running means, which only training does."""

    def step(variables, images):
        classifier = Classifier(dtype, training=True)
        return classifier.apply(variables, images, mutable=["batch_stats"])

    return step


def inputs(dtype):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((2, SIZE, SIZE, 3)), dtype)
    shapes = jax.eval_shape(Classifier(dtype).init, jax.random.key(0), images)

    def trained(path, leaf):
        noise, name = rng.standard_normal(leaf.shape), jax.tree_util.keystr(path)
        if "var" in name:
            return jnp.asarray(0.02 * np.exp(noise), leaf.dtype)
        if "kernel" in name:
            return jnp.asarray(noise / np.sqrt(np.prod(leaf.shape[:-1])), leaf.dtype)
        return jnp.asarray(float("scale" in name) + 0.2 * noise, leaf.dtype)

    return jax.tree_util.tree_map_with_path(trained, shapes), images


class Convolution(nn.Module):
    """A convolution without bias, and BatchNorm."""

    width: int
    kernel: int
    strides: int
    dtype: jnp.dtype
    training: bool

    @nn.compact
    def __call__(self, x, tap, name):
        x = nn.Conv(
            self.width,
            (self.kernel, self.kernel),
            strides=self.strides,
            padding="SAME",
            use_bias=False,
            dtype=self.dtype,
            param_dtype=self.dtype,
        )(x)
        x = tap(f"{name}.conv", x)
        norm = nn.BatchNorm(
            use_running_average=not self.training,
            momentum=MOMENTUM,
            epsilon=EPSILON,
            dtype=self.dtype,
            param_dtype=self.dtype,
        )
        return tap(f"{name}.norm", norm(x))


class Residual(nn.Module):
    width: int
    strides: int
    dtype: jnp.dtype
    training: bool

    @nn.compact
    def __call__(self, x, tap):
        made = {"dtype": self.dtype, "training": self.training}
        h = Convolution(self.width, 3, self.strides, **made)(x, tap, "first")
        h = tap("relu", nn.relu(h))
        h = Convolution(self.width, 3, 1, **made)(h, tap, "second")
        shortcut = Convolution(self.width, 1, self.strides, **made)(x, tap, "shortcut")
        return tap("out", nn.relu(shortcut + h))


class Classifier(nn.Module):
    dtype: jnp.dtype
    training: bool = False

    @nn.compact
    def __call__(self, images, *, tap=lambda _, value: value):
        made = {"dtype": self.dtype, "training": self.training}
        x = Convolution(WIDTH // 2, 3, 1, **made)(images, tap, "stem")
        x = tap("stem.gelu", nn.gelu(x, approximate=True))
        x = tap("stem.pool", nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME"))
        for number, strides in enumerate((1, 2)):
            block = Residual(WIDTH * strides, strides, **made)
            x = block(x, lambda name, value, n=number: tap(f"stages.{n}.{name}", value))
        x = tap("pooled", jnp.mean(x, axis=(1, 2)))
        head = nn.Dense(CLASSES, dtype=self.dtype, param_dtype=self.dtype)
        return tap("logits", head(x))
