"""Taps as an operation of the program: a point can then be found wherever it was traced.

A tapped function calls `tap(name, value)` while it is traced. Given `mark` as its tap, it leaves an
operation `parity_tap` at that place, which passes its value on. Calls, loops and transformations
carry it along like any other operation, so what a loop's body taps is not lost when the loop is
traced; parity/program/loops.py takes the values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from parity.errors import RequestError

Tap = Callable[[str, jax.Array], jax.Array]
# Takes a keyword argument `tap` beside its own arguments.
TappedFunction = Callable[..., Any]

tap_p = core.Primitive("parity_tap")


def _same(value: Any, *, name: str) -> Any:
    del name
    return value


def _lowered(context: Any, value: Any, *, name: str) -> list[Any]:
    del context, name
    return [value]


def _batched(args: Sequence[Any], axes: Sequence[int], *, name: str) -> tuple[Any, int]:
    # Seen with the mapped axis in front, and handed on with that axis where it was: XLA drops a
    # transposition and its inverse, so the program computes what it does without the tap.
    (value,), (axis,) = args, axes
    tapped = tap_p.bind(jnp.moveaxis(value, axis, 0), name=name)
    return jnp.moveaxis(tapped, 0, axis), axis


def _differentiated(
    primals: Sequence[Any], tangents: Sequence[Any], *, name: str
) -> tuple[Any, Any]:
    # A tap is the identity. It shows values, not derivatives.
    (value,), (tangent,) = primals, tangents
    return tap_p.bind(value, name=name), tangent


tap_p.def_impl(_same)
tap_p.def_abstract_eval(_same)
mlir.register_lowering(tap_p, _lowered)
batching.primitive_batchers[tap_p] = _batched
ad.primitive_jvps[tap_p] = _differentiated


def mark(name: str, value: Any) -> jax.Array:
    """Leave a tap at this place of the program that is being traced; returns the value.

    It has no state, so that functions which take their tap as a static argument of `jax.jit` are
    traced once.

    Args:
      value: an array, or a number of Python's.

    Raises:
      RequestError: it is something else.
    """
    if not isinstance(name, str):
        raise RequestError(f"a tap's name is text, got {name!r}; write tap('name', value)")
    if not isinstance(value, jax.Array):
        try:
            if isinstance(value, list | tuple):  # which would be joined in an array
                raise TypeError
            value = jnp.asarray(value)
        except (TypeError, ValueError):
            raise RequestError(
                f"tap {name!r} takes one array, got {type(value).__name__}; "
                "tap the arrays in it, each under a name of its own"
            ) from None
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise RequestError(
            f"tap {name!r} takes an array of numbers, got random keys; "
            "tap jax.random.key_data of them"
        )
    return tap_p.bind(value, name=name)


@runtime_checkable
class Requiring(Protocol):
    """A tap whose run can fail: with `message`, if `condition` is false when the program runs."""

    def __call__(self, name: str, value: jax.Array) -> jax.Array: ...

    def require(self, condition: jax.Array, message: str) -> None: ...


class InjectingTap:
    """Shows `tap` the computed value and passes on the one of that name in `values`, if any.

    Attributes:
      shown: the tap that sees what is computed.
      values: for whoever evaluates a loop, in which many frames are made at one place.
    """

    def __init__(self, tap: Tap, values: Mapping[str, jax.Array]) -> None:
        self.shown = tap
        self.values = values

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        value = self.shown(name, value)
        given = self.values.get(name)
        # Another shape is a difference of its own; the function goes on with what it has.
        if given is None or given.shape != value.shape:
            return value
        return given if given.dtype == value.dtype else given.astype(value.dtype)


def frame_name(name: str, indices: Sequence[int]) -> str:
    """A tap's name in one iteration of the loops around it.

    Placeholders `{}` are filled, and what is left over is written at the end. Without placeholders
    the first index is written after the name's first component, the next after its second, and so
    on, the rest at the end.

        layers.{}.mlp, 3      layers.3.mlp
        layers.mlp, 3         layers[3].mlp
        mlp, 3                mlp[3]
        outer.inner.x, 2, 3   outer[2].inner[3].x

    Args:
      indices: of the loops, outermost first.
    """
    placed = min(len(indices), name.count("{}"))
    for index in indices[:placed]:
        name = name.replace("{}", str(index), 1)
    components = name.split(".")
    if not placed:
        placed = min(len(indices), len(components) - 1)
        for position in range(placed):
            components[position] += f"[{indices[position]}]"
    return ".".join(components) + "".join(f"[{index}]" for index in indices[placed:])


def marks(program: core.Jaxpr) -> Iterator[str]:
    """Names of the taps in a program and in the programs that its operations hold."""
    for eqn in program.eqns:
        yield from marks_of(eqn)


def marks_of(eqn: core.JaxprEqn) -> Iterator[str]:
    """Names of the taps in one operation."""
    if eqn.primitive is tap_p:
        yield eqn.params["name"]
    # What differentiation computes a second time was seen the first time.
    elif not eqn.params.get("differentiated", False):
        for inner in core.jaxprs_in_params(eqn.params):
            yield from marks(inner)


def renamed(tap: Tap, rename: Callable[[str], str]) -> Tap:
    """A tap for a function of other names: it is called under those that `rename` gives.

    What a tap can do beside being called stays possible: values are found under the new names.
    """
    if isinstance(tap, InjectingTap):
        return InjectingTap(_Renamed(tap.shown, rename), _RenamedValues(tap.values, rename))
    return _Renamed(tap, rename)


class _Renamed:
    def __init__(self, tap: Tap, rename: Callable[[str], str]) -> None:
        self._tap = tap
        self._rename = rename

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        return self._tap(self._rename(name), value)

    def require(self, condition: jax.Array, message: str) -> None:
        if isinstance(self._tap, Requiring):
            self._tap.require(condition, message)


class _RenamedValues(Mapping[str, jax.Array]):
    """Values under a function's own names, each found under its new one."""

    def __init__(self, values: Mapping[str, jax.Array], rename: Callable[[str], str]) -> None:
        self._values = values
        self._rename = rename

    def __getitem__(self, name: str) -> jax.Array:
        return self._values[self._rename(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
