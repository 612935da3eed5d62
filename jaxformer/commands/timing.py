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

import jax
import jax.numpy as jnp
import numpy as np

from jaxformer.cache import Cache, cached_forward
from jaxformer.config import Config
from jaxformer.fast.prefill import prefill
from jaxformer.fast.programs import program
from jaxformer.generate import CHUNK, padded, steps_at_once
from jaxformer.params import Params

# Bytes of the large read and size of the large matmul: of a few ms, wherever it runs.
_LARGE = {"cpu": (1 << 28, 2048)}
_LARGE_ELSEWHERE = (1 << 31, 8192)
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
    """The best of a few: a jitted sum, square matmuls of random numbers in both dtypes."""
    read_bytes, size = _LARGE.get(jax.default_backend(), _LARGE_ELSEWHERE)
    data = jnp.zeros(read_bytes // 4, jnp.float32)
    read = read_bytes / _best(jax.jit(jnp.sum), data)
    del data
    values = jax.random.normal(jax.random.key(0), (size, size))
    matmul = {}
    for dtype in ("bfloat16", "float32"):
        square = values.astype(dtype)
        # Contracted over both last axes, which is the fastest form here.
        product = jax.jit(lambda a, b: a @ b.T)
        matmul[dtype] = 2 * size**3 / _best(product, square, square)
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
        self._ahead = program(_ahead, config, static=("config", "at_once"), donate=("cache",))

    def time(self, tokens: np.ndarray, new: int) -> Timing:
        """Prefill [B T] tokens, then `new` greedy steps at least.

        Steps of one program count the same share of its time.
        """
        rows, at_once = padded(tokens.tolist(), CHUNK), steps_at_once()
        programs = -(-new // at_once)
        capacity = -(-(rows.shape[1] + programs * at_once) // CHUNK) * CHUNK
        start = time.perf_counter()
        logits, cache = prefill(self._params, rows, self._config, capacity, CHUNK)
        token = jnp.argmax(logits[:, -1], axis=-1)[:, None]
        token.block_until_ready()
        took = time.perf_counter() - start
        steps = []
        for _ in range(programs):
            start = time.perf_counter()
            token, cache = self._ahead(
                self._params, token, cache, config=self._config, at_once=at_once
            )
            token.block_until_ready()
            steps += [(time.perf_counter() - start) / at_once] * at_once
        return Timing(took, steps)


def _ahead(
    params: Params, token: jax.Array, cache: Cache, *, config: Config, at_once: int
) -> tuple[jax.Array, Cache]:
    """The last of `at_once` greedy tokens, and the cache with those before it."""

    def one(state: tuple[jax.Array, Cache], _: None = None) -> tuple[tuple[jax.Array, Cache], None]:
        token, cache = state
        valid = jnp.ones_like(token, bool)
        logits, cache = cached_forward(params, token, cache, config, valid=valid)
        return (jnp.argmax(logits[:, -1], axis=-1)[:, None], cache), None

    state = (token, cache)
    return one(state)[0] if at_once == 1 else jax.lax.scan(one, state, length=at_once)[0]


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
    """Peak memory of a device of its own, or else of this process; since the last reset where that
    is possible."""
    device = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in device:
        return int(device["peak_bytes_in_use"])
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf-8"))):
        return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
