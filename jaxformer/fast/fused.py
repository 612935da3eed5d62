"""Attention by the backend's own fused kernel, where it has one."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# By backend. On a CPU `jax.nn.dot_product_attention` computes all that the mask discards.
_KERNELS: dict[str, Literal["xla", "cudnn"]] = {"gpu": "cudnn"}
_DTYPES = ("bfloat16", "float16")


def has_kernel(query: Float[Array, "B T N H"]) -> bool:
    """Whether there is one for these queries: several, in a narrow dtype."""
    dtype = query.dtype.name
    return jax.default_backend() in _KERNELS and query.shape[1] > 1 and dtype in _DTYPES


def fused(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S K H"],
    value: Float[Array, "B S K H"],
    mask: Bool[Array, "B T S"],
    scale: float,
) -> Float[Array, "B T N H"]:
    """Softmax attention of unscaled queries; a query that sees no key gets the mean of all values.

    Kernels differ in what they give such a query, so it is not left to them.
    """
    out = jax.nn.dot_product_attention(
        query,
        key,
        value,
        mask=mask[:, None],
        scale=scale,
        implementation=_KERNELS[jax.default_backend()],
    )
    wide = jnp.promote_types(value.dtype, jnp.float32)
    mean = jnp.mean(value, axis=1, dtype=wide).astype(out.dtype)
    mean = jnp.repeat(mean, query.shape[2] // value.shape[2], axis=1)
    return jnp.where(mask.any(axis=-1)[:, :, None, None], out, mean[:, None])
