"""Operations run by NumPy give what JAX gives, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core

from parity.program.host import on_host

R = np.random.default_rng(0)
X, Y = R.standard_normal((4, 6)), R.standard_normal((4, 6))
N = R.integers(-9, 9, (4, 6))
B = X > 0

PROGRAMS = {
    "elementwise": (lambda x, y: jnp.tanh(x) * y - x / (y + 3) + jnp.maximum(x, y), (X, Y)),
    "functions": (lambda x: lax.rsqrt(x * x + 1) + lax.logistic(x) + lax.erf(x) - jnp.exp(x), (X,)),
    "powers": (lambda x: x**3 + jnp.abs(x) ** 0.3 + x**-2, (X,)),
    "integers": (lambda n: n // 4 + n % 3 - lax.div(n, 5) + lax.rem(n, 4), (N,)),
    "booleans": (lambda b, n: (b & (n > 0)) | ~b ^ (n == 2), (B, N)),
    "choice": (lambda b, x, y: lax.clamp(-1.0, lax.select(b, x, y), 1.0), (B, X, Y)),
    "products": (lambda x, y: jnp.einsum("ij,kj->ik", x, y) @ y, (X, Y)),
    "batched product": (lambda x, y: jnp.einsum("bi,bj->bij", x, y), (X, Y)),
    "axes": (lambda x: jnp.flip(x.T.reshape(2, 3, 4), 1)[:, ::2, 1:3], (X,)),
    "broadcast": (lambda x: jnp.broadcast_to(x[:, None], (4, 3, 6)) + jnp.arange(6.0), (X,)),
    "reductions": (lambda x: x.sum(0) + x.max(0) - x.min(0) * x.prod(0), (X,)),
    "any and all": (lambda b: b.any(0) ^ b.all(0), (B,)),
    "places": (lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 0)), (X,)),
    "sums along": (lambda x: lax.cumsum(x, 0) + lax.cumsum(x, 1, reverse=True), (X,)),
    "parts": (lambda x: jnp.concatenate(jnp.split(x, 3, axis=1)[::-1], axis=1), (X,)),
    "casts": (lambda x, n, b: x.astype(int) + n.astype(float) + b.astype(float), (X, N, B)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_operation_is_what_jax_computes(name: str) -> None:
    fn, inputs = PROGRAMS[name]
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in inputs]
        program = jax.make_jaxpr(lambda *x: fn(*x))(*arrays)
        checked = 0
        env = dict(zip(program.jaxpr.invars, arrays, strict=True))
        env.update(zip(program.jaxpr.constvars, program.consts, strict=True))
        for eqn in program.jaxpr.eqns:
            given = [a.val if isinstance(a, core.Literal) else env[a] for a in eqn.invars]
            made = eqn.primitive.bind(*map(jnp.asarray, given), **eqn.params)
            made = made if eqn.primitive.multiple_results else [made]
            run = on_host(eqn.primitive.name, eqn.params)
            if run is not None:
                checked += 1
                for expected, found in zip(made, run(*given), strict=True):
                    assert found.shape == expected.shape
                    assert found.dtype == expected.dtype
                    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
            env.update(zip(eqn.outvars, made, strict=True))
    assert checked


def test_what_is_not_in_the_table_is_left_to_jax() -> None:
    assert on_host("top_k", {}) is None
