"""Compiled programs of a formulation, each compiled once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxformer.config import Config
from jaxformer.numerics import Formulation

# A product of bfloat16 weights with one vector, which is what a decoding step waits for, is read a
# tenth faster with 512-bit vectors than with the 256 that XLA prefers; on a CPU without them
# nothing changes.
_FAST = {"xla_cpu_prefer_vector_width": 512}


def program(
    fn: Callable[..., Any],
    config: Config,
    *,
    static: tuple[str, ...] = (),
    donate: tuple[str, ...] = (),
    keep_unused: bool = False,
) -> Callable[..., Any]:
    """`fn` under jit, compiled as the config's formulation asks for.

    Args:
      static, donate: names of arguments.
      keep_unused: arguments that `fn` does not use are passed, so that they can be donated.
    """
    return _jitted(fn, config.numerics.formulation, static, donate, keep_unused)


@functools.cache
def _jitted(
    fn: Callable[..., Any],
    formulation: Formulation,
    static: tuple[str, ...],
    donate: tuple[str, ...],
    keep_unused: bool,
) -> Callable[..., Any]:
    fast = formulation == "fast" and jax.default_backend() == "cpu"
    return jax.jit(
        fn,
        static_argnames=static,
        donate_argnames=donate,
        keep_unused=keep_unused,
        compiler_options=_FAST if fast else None,
    )
