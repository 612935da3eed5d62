"""Whether one program was written after the other."""

import jax
import jax.numpy as jnp

from parity.explain.alike import alike, few
from parity.explain.replay import replay

X = jnp.linspace(-1.0, 1.0, 24).reshape(4, 6)


def graph(fn):
    return replay(fn, (X,), "ours")


def layer(x, eps=1e-6):
    h = x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps)
    return x + jax.nn.silu(h @ h.T) @ jnp.tanh(h)


def stack(x, eps=1e-6):
    return layer(layer(layer(x, eps)))


def other(x):
    for _ in range(3):
        size = jnp.sqrt(jnp.einsum("bi,bi->b", x, x) / 6 + 1e-6)[:, None]
        gate = jnp.einsum("bi,ci->bc", x / size, x / size)
        x = jnp.einsum("bc,ci->bi", gate / (1 + jnp.exp(-gate)), jnp.tanh(x / size)) + x
    return x


def test_an_edited_copy_is() -> None:
    assert alike(graph(stack), graph(stack))
    assert alike(graph(lambda x: stack(x, 1e-3)), graph(stack))


def test_another_style_is_not() -> None:
    assert not alike(graph(other), graph(stack))


def test_how_elements_are_moved_is_no_part_of_it() -> None:
    assert alike(graph(lambda x: stack(x.T.T)[:, ::-1][:, ::-1]), graph(stack))


def test_few_operations_are_counted_without_those_of_style() -> None:
    assert few(graph(lambda x: jnp.tanh(x).reshape(-1) * 2), graph(jnp.sin))
    assert not few(graph(stack), graph(jnp.sin))
