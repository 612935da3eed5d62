"""The layers around attention. Shapes use the letters of `Config`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxformer.config import Rope
from jaxformer.fast.rows import Rows
from jaxformer.numerics import ArithmeticDType, Gating, Numerics
from jaxformer.taps import Tap


def arithmetic_dtype(choice: ArithmeticDType, x: jax.Array) -> jnp.dtype:
    """The dtype in which an operation on x is evaluated."""
    return jnp.dtype(jnp.float32) if choice == "float32" else x.dtype


def embed(
    embedding: Float[Array, "V D"] | Rows, tokens: Int[Array, "B T"]
) -> Float[Array, "B T D"]:
    """Rows of the embedding scaled by sqrt(D), the scale rounded to the table's dtype.

    Ids must lie in [0, V): under jit a gather can't raise, it clamps.
    """
    if isinstance(embedding, Rows):
        embedding = embedding.table
    x = embedding[tokens]
    return x * jnp.sqrt(embedding.shape[-1]).astype(x.dtype)


def unembed(
    embedding: Float[Array, "V D"] | Rows, x: Float[Array, "B T D"]
) -> Float[Array, "B T V"]:
    """Logits through the tied embedding."""
    if isinstance(embedding, Rows):
        return embedding(x)
    return jnp.dot(x, embedding.T)


def rms_norm(
    x: Float[Array, "... D"], scale: Float[Array, " D"], numerics: Numerics
) -> Float[Array, "... D"]:
    """`x / rms(x) * (1 + scale)` over the last axis (Zhang and Sennrich 2019), in x's dtype.

    Gemma stores the gain as its distance from one.
    """
    arithmetic = arithmetic_dtype(numerics.norm_dtype, x)
    wide = x.astype(arithmetic)
    mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    # rsqrt rounds differently from 1 / sqrt.
    normed = wide * jax.lax.rsqrt(mean_square + numerics.rms_norm_eps)
    return (normed * (1 + scale.astype(arithmetic))).astype(x.dtype)


def apply_rope(
    x: Float[Array, "B T N H"],
    positions: Int[Array, "B T"],
    rope: Rope,
    numerics: Numerics,
) -> Float[Array, "B T N H"]:
    """Rotary position embedding on split halves (Su et al. 2021), in x's dtype.

    Component i of the first half pairs with component i of the second; the pair turns by
    `position / base^(2i/H) / factor` radians.
    """
    head_width = x.shape[-1]
    exponents = (2.0 / head_width) * jnp.arange(head_width // 2, dtype=jnp.float32)
    timescale = rope.base**exponents
    angles = positions[..., None] / timescale
    angles = angles[..., None, :] / rope.factor
    sin, cos = jnp.sin(angles), jnp.cos(angles)
    if numerics.rope_dtype == "input":
        sin, cos = sin.astype(x.dtype), cos.astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def gate_and_up(
    x: Float[Array, "B T D"], gating: Float[Array, "2 F D"] | Rows, formulation: Gating
) -> tuple[Float[Array, "B T F"], Float[Array, "B T F"]]:
    """The two halves of the gating projection, equal in real arithmetic for every formulation.

    `fused` is one einsum with the pair axis in the middle of its result, as the official package
    has it; `split` is one per half; `stacked` puts the pair axis first, which lets XLA pick
    another kernel and round differently (jax issue 29990); `concatenated` is one matmul of 2F
    columns. Weights in rows have one of their own, which `fused` stands for.

    Raises:
      ValueError: weights in rows and another formulation than `fused`.
    """
    if isinstance(gating, Rows):
        if formulation != "fused":
            raise ValueError(
                f"weights laid out in rows can't be multiplied as gating={formulation} asks; "
                "give the weights as they were loaded"
            )
        gate, up = jnp.moveaxis(gating(x), -2, 0)
        return gate, up
    match formulation:
        case "fused":
            both = jnp.einsum("...F,NHF->...NH", x, gating)
            return both[..., 0, :], both[..., 1, :]
        case "split":
            gate, up = (jnp.einsum("BTD,FD->BTF", x, half) for half in (gating[0], gating[1]))
            return gate, up
        case "stacked":
            gate, up = jnp.einsum("BTD,NFD->NBTF", x, gating)
            return gate, up
        case "concatenated":
            flat = gating.reshape(-1, gating.shape[-1])
            gate, up = jnp.split(jnp.einsum("BTD,CD->BTC", x, flat), 2, axis=-1)
            return gate, up


def gated_mlp(
    x: Float[Array, "B T D"],
    gating: Float[Array, "2 F D"] | Rows,
    output: Float[Array, "F D"] | Rows,
    numerics: Numerics,
    tap: Tap,
) -> Float[Array, "B T D"]:
    """`(gelu(x @ gate) * (x @ up)) @ output` with the tanh GELU (Shazeer 2020)."""
    gate, up = gate_and_up(x, gating, numerics.gating)
    gate, up = tap("gate", gate), tap("up", up)
    arithmetic = arithmetic_dtype(numerics.gelu_dtype, gate)
    fast = numerics.formulation == "fast"
    wide = gate.astype(jnp.promote_types(arithmetic, jnp.float32) if fast else arithmetic)
    # The fast formulation rounds the activations once, the official package after each step.
    kept = wide.dtype if fast else gate.dtype
    product = jax.nn.gelu(wide, approximate=True).astype(kept) * up.astype(kept)
    activations = product.astype(gate.dtype)
    if isinstance(output, Rows):
        return tap("output", output(activations))
    return tap("output", jnp.einsum("BTF,FD->BTD", activations, output))
