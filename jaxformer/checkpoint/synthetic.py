"""Trained-like weights from a seed: the same bits on every platform and NumPy version.

How a tensor is made. Its name, the seed and a chunk number, hashed by BLAKE2b, seed an SFC64 bit
generator (NumPy promises its stream; it promises nothing for `Generator.normal`). Each 16 bits of
that stream pick one of 65,536 standard normal quantiles, which are rounded to a coarse grid so
that no platform's libm shows. The pick is scaled, rounded to bfloat16, and widened exactly where
float32 is asked for: both dtypes hold the same values, as a real checkpoint's would.

What is trained-like. Projections keep variance (1/sqrt(fan-in)), norm scales spread around zero
(Gemma adds one), and each output projection, attention and MLP, has a gain of its own,
exp(N(mean, 0.5)), whose mean falls from 0 at block 0 to -4 at block 10 and stays there. Deep
blocks so feed small mean squares to the norm after them, which is where an epsilon shows; shallow
ones don't, so such a fault first appears some blocks in, as it does with trained weights.
"""

from __future__ import annotations

import functools
import hashlib
import math
import statistics
from concurrent.futures import ThreadPoolExecutor

import jax
import ml_dtypes
import numpy as np
from jax.typing import DTypeLike

from jaxformer.checkpoint.buffers import aligned_empty
from jaxformer.config import Config
from jaxformer.params import Params, abstract_params, named_leaves

# Part of the format, as are the chunk and the grid: change one and the weights change.
FORMAT_VERSION = 1
_CHUNK = 1 << 22
_GRID = 1 << 12
_BOS_ID = 2
_FIRST_ORDINARY_ID = 3  # after padding 0, EOS 1 and BOS 2
_NORM_SCALE_STD = 0.25
_GAIN_STD = 0.5
_GAIN_FALL_PER_BLOCK = 0.4
_GAIN_MEAN_MIN = -4.0


def synthetic_params(
    config: Config,
    seed: int,
    dtype: DTypeLike = "bfloat16",
    *,
    blocks: int | None = None,
) -> Params:
    """Weights for `config`; those of a block don't depend on how many blocks there are.

    Args:
      seed: any non-negative int; each gives other weights.
      dtype: `bfloat16`, or `float32` for the same values, widened.
      blocks: make only the first so many blocks.

    Raises:
      ValueError: a dtype other than those two, or a negative seed.
    """
    if np.dtype(dtype) not in (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)):
        raise ValueError(f"dtype must be bfloat16 or float32, got {dtype}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    tree = abstract_params(config, dtype, blocks=blocks)
    leaves = list(named_leaves(tree))
    with ThreadPoolExecutor() as pool:
        arrays = [
            _tensor(name, leaf.shape, np.dtype(leaf.dtype), seed, pool) for name, leaf in leaves
        ]
    return jax.tree.unflatten(jax.tree.structure(tree), arrays)


def synthetic_tokens(config: Config, batch: int, length: int, seed: int) -> np.ndarray:
    """[B T] int32 ids from a seed: BOS first in each row, then any but padding, EOS and BOS."""
    tokens = np.full((batch, length), _BOS_ID, np.int32)
    ordinary = config.vocab_size - _FIRST_ORDINARY_ID
    for row in range(batch):
        # Two 16-bit draws make an id; the modulo's bias, 2^-14 at most, doesn't matter here.
        high, low = _random_uint16("tokens", seed, row, 2 * (length - 1)).reshape(2, -1)
        drawn = (high.astype(np.int64) << 16) + low
        tokens[row, 1:] = _FIRST_ORDINARY_ID + drawn % ordinary
    return tokens


def _tensor(
    name: str, shape: tuple[int, ...], dtype: np.dtype, seed: int, pool: ThreadPoolExecutor
) -> jax.Array:
    quantiles = _normal_quantiles() * _standard_deviation(name, shape, seed)
    table = quantiles.astype(ml_dtypes.bfloat16).astype(dtype).view(f"u{dtype.itemsize}")
    out = aligned_empty(math.prod(shape), table.dtype)

    def fill(chunk: int) -> None:
        part = out[chunk * _CHUNK : (chunk + 1) * _CHUNK]
        np.take(table, _random_uint16(name, seed, chunk, part.size), out=part, mode="clip")

    list(pool.map(fill, range(-(-out.size // _CHUNK))))
    # Aligned as it is, the CPU backend takes the buffer over without a copy.
    return jax.device_put(out.view(dtype).reshape(shape))


def _standard_deviation(name: str, shape: tuple[int, ...], seed: int) -> float:
    """Scale of a tensor by its name; the fan-in is what its einsum contracts over."""
    if name.endswith("norm"):
        return _NORM_SCALE_STD
    if name == "embedding":  # becomes 1 when scaled by sqrt(D)
        return float(shape[-1] ** -0.5)
    if name.endswith(".output"):
        return _gain(name, seed) * float(math.prod(shape[:-1]) ** -0.5)
    contracted = -1 if name.endswith(".gating") else -2
    return float(shape[contracted] ** -0.5)


def _gain(name: str, seed: int) -> float:
    """Gain of one output projection, log-normal around a mean that falls with depth."""
    block = int(name.split(".")[1])
    mean = max(-_GAIN_FALL_PER_BLOCK * block, _GAIN_MEAN_MIN)
    pick = int(_random_uint16(f"{name}.gain", seed, 0, 1)[0])
    return math.exp(mean + _GAIN_STD * float(_normal_quantiles()[pick]))


def _random_uint16(name: str, seed: int, chunk: int, size: int) -> np.ndarray:
    digest = hashlib.blake2b(f"{FORMAT_VERSION}/{seed}/{name}/{chunk}".encode(), digest_size=16)
    bits = np.random.SFC64(int.from_bytes(digest.digest(), "little")).random_raw(-(-size // 4))
    return bits.astype("<u8", copy=False).view("<u2")[:size]


@functools.cache
def _normal_quantiles() -> np.ndarray:
    """[65536] standard normal quantiles at (i + 1/2) / 65536, float64 on a grid of 2^-12."""
    inverse = statistics.NormalDist().inv_cdf
    exact = np.array([inverse((i + 0.5) / 65536) for i in range(65536)])
    return np.round(exact * _GRID) / _GRID
