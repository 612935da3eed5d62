"""Arrays that a function closes over, made arguments of its program.

XLA takes a closed-over array for a constant of the program. It computes what it can of it while it
compiles, which takes long, and rounds otherwise than the same program does on an argument. With 52
MB of closed-over weights jax 0.10.1 compiled a small program on two CPU cores in 10.6 s instead of
0.1 s, and 98% of its float32 results had other bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.errors import RequestError
from parity.program.evaluation import Body
from parity.program.loops import hoisted, traced
from parity.program.plan import Plan, constants_of
from parity.trace.tap import Tap, TappedFunction, mark

# Smaller ones are settings and small tables rather than weights.
_LARGE = 1000


def opened(fn: TappedFunction, *args: Any) -> tuple[TappedFunction, tuple[Any, ...]]:
    """`fn` as a function of the large arrays that it closes over too, and its arguments.

    The function returned takes a tuple of these arrays before its own arguments. Called with floats
    of another dtype, as an oracle does, it traces `fn` with these. While it is traced `fn` still
    meets the arrays that it closes over in their own dtype; an array given for one of them is cast
    to that, which an oracle does not round. A function that refuses two dtypes, as a convolution
    does, is traced in its own, and its constants are those of its own.

    Returns:
      `fn` and `args` themselves, if it closes over no array of 1,000 elements or more.
    """
    first = _Reading(fn, args, ())
    if not first.arrays:
        return fn, args

    def opened_fn(arrays: Sequence[jax.Array], *args: Any, tap: Tap) -> Any:
        if tap is not mark:
            return hoisted(opened_fn)(arrays, *args, tap=tap)
        return first.on(fn, args).evaluated(arrays, args)

    return opened_fn, (first.arrays, *args)


class _Reading:
    """A function traced on some arguments.

    Args:
      known: the large arrays to look for in it; by default all that it closes over.

    Attributes:
      arrays: what it closes over, each once.
    """

    def __init__(self, fn: TappedFunction, args: Sequence[Any], known: Sequence[Any]) -> None:
        self._program, self._shape = traced(fn, args)
        self._avals = [(aval.shape, aval.dtype) for aval in self._program.in_avals]
        self._sources: list[Any] = list(known)
        # Of constants to arrays; constants live as long as the program.
        self._places: dict[int, int] = {}
        for const in _constants(self._program):
            if const.size < _LARGE:
                continue
            place = self._place(_is_view, const)
            if place is None and known:
                place = self._place(_is_equal, const)
            elif place is None:
                place = len(self._sources)
                self._sources.append(const)
            if place is not None:
                self._places[id(const)] = place
        self.arrays = tuple(jnp.asarray(source, source.dtype) for source in self._sources)

    def _place(self, same: Callable[[Any, Any], bool], const: Any) -> int | None:
        return next((n for n, x in enumerate(self._sources) if same(x, const)), None)

    def on(self, fn: TappedFunction, args: Sequence[Any]) -> _Reading:
        """The function traced on these arguments."""
        avals = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(args)]
        return self if avals == self._avals else _Reading(fn, args, self._sources)

    def evaluated(self, arrays: Sequence[jax.Array], args: Sequence[Any]) -> Any:
        """Its output on arguments of these shapes, with other arrays in place of its own."""
        given = [_entering(x, own) for x, own in zip(arrays, self.arrays, strict=True)]
        constants = {key: given[place] for key, place in self._places.items()}
        body = Body(Plan(None, constants=constants))
        outputs = body.evaluate(self._program, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(self._shape), outputs)


def _constants(program: core.ClosedJaxpr) -> Iterator[Any]:
    yield from program.consts
    for eqn in program.jaxpr.eqns:
        yield from constants_of(eqn)


def _is_view(array: Any, other: Any) -> bool:
    """One array; NumPy's are wrapped anew wherever they are used."""
    if isinstance(array, np.ndarray) and isinstance(other, np.ndarray):
        one, two = array.__array_interface__, other.__array_interface__
        return all(one[key] == two[key] for key in ("data", "strides", "shape", "typestr"))
    return array is other


def _is_equal(array: Any, other: Any) -> bool:
    """Of the same numbers, as where a function makes one anew each time that it is traced."""
    if array.shape != other.shape or array.dtype != other.dtype:
        return False
    return np.array_equal(np.asarray(array), np.asarray(other))


def _entering(value: jax.Array, own: jax.Array) -> jax.Array:
    """An array in place of one that the function closes over."""
    if value.shape != own.shape:
        raise RequestError(
            f"an array of shape {value.shape} is given in place of one of shape {own.shape} that "
            "the function closes over; give one of its shape"
        )
    return jax.lax.convert_element_type(value, own.dtype)
