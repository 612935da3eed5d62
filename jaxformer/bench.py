"""How fast this machine and this model are: ceilings, prefill and decoding, each timed."""

from __future__ import annotations

import contextlib
import re
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxformer.cache import Cache, cached_forward
from jaxformer.config import Config
from jaxformer.generate import CHUNK, padded
from jaxformer.params import Params
from jaxformer.prefill import prefill
from jaxformer.programs import program

_READ_BYTES = 1 << 28
_MATMUL_SIZE = 2048
_REPEATS = 7


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do, measured: bytes/s of one large read, FLOP/s of one large matmul."""

    read: float
    matmul: dict[str, float]


@dataclass(frozen=True)
class Timing:
    """Seconds of one prefill, and of each decoding step after it."""

    prefill: float
    steps: list[float]

    @property
    def step(self) -> float:
        """The median step; the first is left out, as it may compile."""
        return statistics.median(self.steps[1:])


def ceilings() -> Ceilings:
    """The best of a few: a jitted sum over 256 MB, square matmuls in both dtypes."""
    data = jnp.zeros(_READ_BYTES // 4, jnp.float32)
    read = _READ_BYTES / _best(jax.jit(jnp.sum), data)
    matmul = {}
    for dtype in ("bfloat16", "float32"):
        square = jnp.ones((_MATMUL_SIZE, _MATMUL_SIZE), dtype)
        # Contracted over both last axes, which is the fastest form here.
        product = jax.jit(lambda a, b: a @ b.T)
        matmul[dtype] = 2 * _MATMUL_SIZE**3 / _best(product, square, square)
    return Ceilings(read, matmul)


def _best(fn: Callable[..., jax.Array], *args: jax.Array) -> float:
    jax.block_until_ready(fn(*args))
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(time.perf_counter() - start)
    return min(times)


class Subject:
    """A model to be timed; compiled programs are kept from one timing to the next."""

    def __init__(self, params: Params, config: Config) -> None:
        self._params = params
        self._config = config
        self._step = program(_one, config, static=("config",), donate=("cache",))

    def time(self, tokens: np.ndarray, new: int) -> Timing:
        """Prefill [B T] tokens, then `new` greedy steps."""
        rows = padded(tokens.tolist(), CHUNK)
        capacity = -(-(rows.shape[1] + new) // CHUNK) * CHUNK
        start = time.perf_counter()
        logits, cache = prefill(self._params, rows, self._config, capacity, CHUNK)
        token = jnp.argmax(logits[:, -1], axis=-1)[:, None]
        token.block_until_ready()
        took = time.perf_counter() - start
        steps = []
        for _ in range(new):
            start = time.perf_counter()
            token, cache = self._step(self._params, token, cache, config=self._config)
            token.block_until_ready()
            steps.append(time.perf_counter() - start)
        return Timing(took, steps)


def _one(params: Params, token: jax.Array, cache: Cache, *, config: Config) -> Any:
    valid = jnp.ones_like(token, bool)
    logits, cache = cached_forward(params, token, cache, config, valid=valid)
    return jnp.argmax(logits[:, -1], axis=-1)[:, None], cache


def read_per_token(params: Params) -> int:
    """Bytes of weights that one decoding step reads: all of them, the tied embedding once."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params))


def flops_per_token(params: Params) -> int:
    """Multiplications and additions of the blocks' matrices, per prompt token."""
    return 2 * sum(leaf.size for leaf in jax.tree.leaves(params.blocks) if leaf.ndim > 1)


def reset_peak() -> None:
    """Count peak memory anew, where Linux lets a process do so."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_bytes() -> int:
    """Peak resident memory of this process, since the last reset where that is possible."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf-8"))):
        return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
