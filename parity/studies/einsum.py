"""The gating einsum, written in four ways: how many bits differ, and why.

Each formulation of `jaxformer.layers.gate_and_up` runs on the same activations and weights, those
of block 0, and is held against `fused`, the official package's. Beside the counts stands the
reason: the order in which the compiled product adds its terms, found by running it
(`summation.py`), and what NumPy makes of the same terms in that order.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxformer import model
from jaxformer.attention import PADDING_ID, positions_of
from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import PRESETS, Config
from jaxformer.layers import gate_and_up
from jaxformer.numerics import Gating
from jaxformer.params import BlockParams
from parity.arrays.metrics import compare_arrays
from parity.errors import RequestError
from parity.sides.recording import record_trace
from parity.studies.summation import Chain, replay, reveal
from parity.trace.recorder import NumericsMode, compiler_options

FORMULATIONS: tuple[Gating, ...] = get_args(Gating)
OFFICIAL: Gating = "fused"
# Replaying a product takes seconds from here on, and shows nothing new.
_LONGEST_REPLAY = 64


@dataclass(frozen=True)
class Plan:
    """What to measure: a preset's block 0 at so many tokens."""

    model: str
    config: Config
    lengths: tuple[int, ...]
    formulations: tuple[Gating, ...] = FORMULATIONS
    dtypes: tuple[str, ...] = ("bfloat16", "float32")


# Of a vocabulary a small one will do.
FULL = Plan(
    "gemma3-1b",
    dataclasses.replace(PRESETS["gemma3-1b"], vocab_size=4096),
    (1, 2, 6, 16, 33, 64, 256, 700),
)
REDUCED = Plan(
    "gemma3-270m, its MLP cut to 640",
    dataclasses.replace(PRESETS["gemma3-270m"], vocab_size=4096, mlp_width=640),
    (1, 16),
    ("fused", "split", "stacked"),
)


@dataclass(frozen=True)
class Row:
    """One formulation at one length in one dtype, held against `fused` in the same mode.

    Attributes:
      elements: of gate and up together.
      default, strict, op_by_op: of these, how many differ: jitted as users do, jitted without
        excess precision, and not jitted.
      p99_ulp, max_ulp: how far they differ, jitted as users do; near 0 a distance says little.
      product: shape of the matrix product, or products, that XLA makes of it.
      order: how that adds its terms.
      roundings: additions that one term passes, at most.
      same_order: it adds as `fused` does, term by term.
      replayed: elements in which NumPy, adding in that order, differs; None where not replayed.
      before_rounding: elements whose float32 sums, replayed, differ from those of `fused`.
      rel_l2: relative error against float64.
      block_elements, block_default, block_strict: the same counts at the block's output.
    """

    dtype: str
    length: int
    formulation: Gating
    elements: int
    default: int
    strict: int
    op_by_op: int
    p99_ulp: int
    max_ulp: int
    product: str
    order: str
    roundings: int
    same_order: bool
    replayed: int | None
    before_rounding: int | None
    rel_l2: float
    block_elements: int
    block_default: int
    block_strict: int


def measure(plan: Plan, progress: Callable[[str], None]) -> list[Row]:
    """Every row of a plan, by dtype, length and formulation.

    Raises:
      RequestError: this backend doesn't add terms one by one, so their order can't be told.
    """
    rows: list[Row] = []
    orders: dict[int, dict[Gating, Chain]] = {}
    for dtype in plan.dtypes:
        params = synthetic_params(plan.config, 0, dtype, blocks=1)
        for length in plan.lengths:
            progress(f"{dtype}, {length} tokens: measuring")
            if length not in orders:
                orders[length] = {f: _order(plan.config, length, f) for f in plan.formulations}
            tokens = jnp.asarray(synthetic_tokens(plan.config, 1, length, 0))

            def forward(params: Any, tokens: jax.Array, *, tap: Any) -> jax.Array:
                return model.forward(params, tokens, plan.config, tap=tap, blocks=1)

            trace = record_trace(forward, params, tokens)
            rows += _rows(
                plan.config,
                params.blocks[0],
                tokens,
                stream=jnp.asarray(trace["blocks.0.input"]),
                normed=jnp.asarray(trace["blocks.0.pre_ffw_norm"]),
                orders=orders[length],
            )
    return rows


def _rows(
    config: Config,
    params: BlockParams,
    tokens: jax.Array,
    *,
    stream: jax.Array,
    normed: jax.Array,
    orders: dict[Gating, Chain],
) -> list[Row]:
    weights = params.mlp.gating
    assert isinstance(weights, jax.Array)
    exact = _exact(normed, weights)
    sums = {}
    if tokens.shape[1] <= _LONGEST_REPLAY:
        sums = {order: _replayed(order, normed, weights) for order in set(orders.values())}
    products, blocks = {}, {}
    made = {f: _products_made(f, normed, weights) for f in orders}
    for formulation in orders:
        modes = _modes(functools.partial(_product, formulation))
        products[formulation] = {
            mode: np.asarray(fn(normed, weights)) for mode, fn in modes.items()
        }
        modes = _modes(functools.partial(_block, config.with_numerics(gating=formulation)))
        del modes["op_by_op"]
        blocks[formulation] = {m: np.asarray(fn(params, stream, tokens)) for m, fn in modes.items()}
    rows = []
    for formulation in orders:
        product, block = products[formulation], blocks[formulation]
        held = {m: compare_arrays(product[m], products[OFFICIAL][m]) for m in product}
        held_block = {m: compare_arrays(block[m], blocks[OFFICIAL][m]) for m in block}
        order = orders[formulation]
        unrounded = sums.get(order)
        replayed = before = None
        if unrounded is not None:
            replayed = int((unrounded.astype(product["default"].dtype) != product["default"]).sum())
            before = int((unrounded != sums[orders[OFFICIAL]]).sum())
        error = product["default"].astype(np.float64) - exact
        rows.append(
            Row(
                dtype=str(normed.dtype),
                length=tokens.shape[1],
                formulation=formulation,
                elements=held["default"].size,
                default=held["default"].mismatched,
                strict=held["strict"].mismatched,
                op_by_op=held["op_by_op"].mismatched,
                p99_ulp=held["default"].p99_ulp or 0,
                max_ulp=held["default"].max_ulp or 0,
                product=made[formulation],
                order=order.describe(),
                roundings=order.roundings,
                same_order=order == orders[OFFICIAL],
                replayed=replayed,
                before_rounding=before,
                rel_l2=float(np.linalg.norm(error) / np.linalg.norm(exact)),
                block_elements=held_block["default"].size,
                block_default=held_block["default"].mismatched,
                block_strict=held_block["strict"].mismatched,
            )
        )
    return rows


def _product(formulation: Gating, x: jax.Array, weights: jax.Array) -> jax.Array:
    """Gate and up, [2 B T F]."""
    return jnp.stack(gate_and_up(x, weights, formulation))


def _products_made(formulation: Gating, x: jax.Array, weights: jax.Array) -> str:
    """Result shapes of the compiled program's matrix products, such as `[16, 13824]`."""
    program = jax.jit(functools.partial(_product, formulation)).lower(x, weights).compile()
    found = re.findall(r"= \w+\[([\d,]+)\]\S* dot\(", program.as_text() or "")
    counted = collections.Counter(found)
    shapes = ((n, shape.replace(",", ", ")) for shape, n in counted.items())
    return " and ".join(f"{n} × [{shape}]" if n > 1 else f"[{shape}]" for n, shape in shapes)


def _block(config: Config, params: BlockParams, stream: jax.Array, tokens: jax.Array) -> jax.Array:
    valid = tokens != PADDING_ID
    return model.block(params, stream, positions_of(valid), valid, config, "local")[0]


def _modes(fn: Callable[..., jax.Array]) -> dict[str, Callable[..., jax.Array]]:
    def jitted(numerics: NumericsMode) -> Callable[..., jax.Array]:
        return jax.jit(fn, compiler_options=compiler_options(numerics))

    return {"default": jitted("default"), "strict": jitted("strict"), "op_by_op": fn}


def _exact(x: jax.Array, weights: jax.Array) -> np.ndarray:
    """Gate and up in float64, [2 B T F]."""
    wide = np.asarray(x).astype(np.float64)
    return np.stack([wide @ half.astype(np.float64).T for half in np.asarray(weights)])


def _replayed(order: Chain, x: jax.Array, weights: jax.Array) -> np.ndarray:
    """Gate and up in float32, added in an order, [2 1 T F]."""
    halves = [replay(order, np.asarray(x)[0], half) for half in np.asarray(weights)]
    return np.stack(halves)[:, None]


def _order(config: Config, length: int, formulation: Gating) -> Chain:
    """The order of the product's terms, at the shape that is measured.

    Raises:
      RequestError: this backend doesn't add terms one by one.
    """
    x = jnp.ones((1, length, config.width), jnp.float32)
    compiled = jax.jit(functools.partial(_product, formulation))

    def sums(terms: np.ndarray) -> np.ndarray:
        weights = np.ones((2, config.mlp_width, config.width), np.float32)
        weights[0, : len(terms)] = terms
        return np.asarray(compiled(x, weights))[0, 0, 0, : len(terms)]

    try:
        return reveal(sums, config.width)
    except ValueError as error:
        raise RequestError(f"{error}; run this study on a CPU") from error
