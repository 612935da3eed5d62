"""Any callable of pytrees as a tapped function: functions, bound methods, modules of any library.

A callable's own taps are used where it takes a keyword argument `tap`. Every array that it returns
is a frame as well, so that one without taps can be compared at its outputs.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.errors import RequestError
from parity.program.closures import opened
from parity.sides.failures import failure
from parity.trace.ledger import LedgerError
from parity.trace.tap import Tap, TappedFunction

# A smaller array that a callable holds may be a setting, read while it is traced.
_LARGE = 1000


@dataclass(frozen=True)
class Call:
    """A callable and what it is called with, as a function of arrays alone.

    Attributes:
      fn: `fn(*args, tap=…)`; closes over no large array.
      args: weights that the callable holds, then large arrays that it closes over, if any, then its
        inputs.
      label: what to call it in messages.
    """

    fn: TappedFunction
    args: tuple[Any, ...]
    label: str


def call_of(fn: Callable[..., Any], *inputs: Any) -> Call:
    """`fn(*inputs)` as a Call.

    Weights become arguments wherever they can be found: the state of an nnx module, the leaves of a
    callable pytree (an equinox module), arrays bound by `functools.partial`, and what the callable
    closes over if it is large; parity/program/closures.py says why.

    Args:
      fn: see `tappable`.
      inputs: pytrees of arrays and numbers.

    Raises:
      RequestError: `fn` can't be traced on these inputs, or an input or output is no array.
    """
    label = label_of(fn)
    for number, value in enumerate(inputs):
        for path, leaf in jax.tree_util.tree_leaves_with_path(value):
            if not _is_array(leaf):
                raise RequestError(
                    f"argument {number}{jax.tree_util.keystr(path)} of {label} is a "
                    f"{type(leaf).__name__}; arguments are arrays, bind the rest by "
                    "functools.partial"
                )
    held, rebuilt = _separated(fn)
    tapped = _framed(rebuilt, label, takes_tap(fn))
    if held:
        return Call(*opened(tapped, held, *inputs), label)
    return Call(*opened(functools.partial(tapped, ()), *inputs), label)


def tappable(fn: Callable[..., Any]) -> TappedFunction:
    """`fn` as a function that takes a keyword argument `tap`, which `fn` may have or not.

    Args:
      fn: a function, bound method, callable object, `functools.partial` or jitted function; `apply`
        of a flax.linen module, whose `__call__` may take the tap; an flax.nnx module or a method of
        one, which is copied, so that what a call changes in it (running means, counters of random
        numbers) isn't seen outside; an equinox module.

    The function returned taps each array that `fn` returns: as `output` if that is all, else as
    `output.` and its path; as `returned` if `fn` has a tap of such a name. It returns what `fn`
    returns, numbers as arrays.

    Raises (the function returned):
      RequestError: `fn` raised, or returned something else than arrays and numbers.
    """
    held, rebuilt = _separated(fn)
    return functools.partial(_framed(rebuilt, label_of(fn), takes_tap(fn)), held)


def label_of(fn: Any) -> str:
    """What to call a callable in messages."""
    if isinstance(fn, functools.partial):
        return label_of(fn.func)
    if isinstance(fn, types.MethodType):
        return f"{type(fn.__self__).__name__}.{fn.__name__}"
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def takes_tap(fn: Any) -> bool:
    """A callable has a parameter `tap`. One that takes any keyword isn't given it."""
    keywords: dict[str, Any] = {}
    while isinstance(fn, functools.partial):
        fn, keywords = fn.func, {**fn.keywords, **keywords}
    if isinstance(fn, types.MethodType) and _is_module(fn.__self__, "flax.linen"):
        # `apply` hands keywords on to the method that it runs.
        method = keywords.get("method") or "__call__"
        fn = getattr(fn.__self__, method) if isinstance(method, str) else method
    try:
        found = inspect.signature(fn).parameters.get("tap")
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False
    return found is not None and found.kind in (found.KEYWORD_ONLY, found.POSITIONAL_OR_KEYWORD)


class _Noting:
    """A tap that notes the names it meets."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self.names: set[str] = set()

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        self.names.add(name)
        return self._tap(name, value)


def _framed(
    rebuilt: Callable[[Sequence[Any]], Callable[..., Any]], label: str, tappable: bool
) -> Callable[..., Any]:
    """`framed(held, *args, tap=…)`: the callable made of what it holds, its outputs tapped."""

    def framed(held: Sequence[Any], *args: Any, tap: Tap) -> Any:
        noting = _Noting(tap)
        try:
            output = rebuilt(held)(*args, **({"tap": noting} if tappable else {}))
        except (RequestError, LedgerError):
            raise
        except TypeError as error:
            if _Noting.__name__ in str(error):
                raise RequestError(
                    f"{label} hands its tap to jax.vmap or jax.jit as an argument, and they take "
                    "arrays alone; write lambda x, *, tap: jax.vmap(lambda row: f(row, tap=tap))(x)"
                ) from error
            raise failure(label, error) from error
        except (
            Exception,
            SystemExit,
        ) as error:  # a function that is to be examined may raise anything
            raise failure(label, error) from error
        leaves, structure = jax.tree_util.tree_flatten_with_path(output)
        paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
        own = {".".join(filter(None, ("output", path))) for path in paths}
        first = "returned" if own & noting.names else "output"
        values = []
        for path, (_, leaf) in zip(paths, leaves, strict=True):
            if not _is_array(leaf):
                where = f" at {path}" if path else ""
                raise RequestError(
                    f"{label} returns a {type(leaf).__name__}{where}; return arrays and numbers"
                )
            try:
                value = jnp.asarray(leaf)
            except OverflowError as error:  # a number of Python's that no array holds
                raise failure(label, error) from error
            values.append(_tapped(".".join(filter(None, (first, path))), value, tap))
        return jax.tree.unflatten(structure, values)

    return framed


def _tapped(name: str, value: jax.Array, tap: Tap) -> jax.Array:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        tap(name, jax.random.key_data(value))
        return value
    return tap(name, value)


def _separated(
    fn: Any,
) -> tuple[tuple[Any, ...], Callable[[Sequence[Any]], Callable[..., Any]]]:
    """The weights that a callable holds, and how to make it of others."""
    content, made = _content(fn)
    leaves, structure = jax.tree.flatten(content)
    places = [place for place, leaf in enumerate(leaves) if _is_weight(leaf)]

    def rebuilt(held: Sequence[Any]) -> Callable[..., Any]:
        every = dict(enumerate(leaves)) | dict(zip(places, held, strict=True))
        return made(jax.tree.unflatten(structure, list(every.values())))

    return tuple(leaves[place] for place in places), rebuilt


def _content(fn: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A pytree of which a callable is made, and how."""
    if isinstance(fn, types.MethodType):
        owner, made = _content(fn.__self__)
        return owner, lambda content: types.MethodType(fn.__func__, made(content))
    if _is_module(fn, "flax.nnx"):
        from flax import nnx

        definition, state = nnx.split(fn)
        return state, lambda state: nnx.merge(definition, state)
    if not jax.tree_util.all_leaves([fn]):
        return fn, lambda content: content
    if isinstance(fn, functools.partial):
        inner, made = _content(fn.func)
        return (inner, fn.args, fn.keywords), lambda content: functools.partial(
            made(content[0]), *content[1], **content[2]
        )
    return (), lambda _: fn


def _is_module(value: Any, library: str) -> bool:
    """An instance of a class of this library of flax, which is imported then."""
    return any(f"{base.__module__}.".startswith(f"{library}.") for base in type(value).__mro__)


def _is_weight(leaf: Any) -> bool:
    if not isinstance(leaf, jax.Array | np.ndarray):
        return False
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return bool(inexact and leaf.ndim) or leaf.size >= _LARGE


def _is_array(leaf: Any) -> bool:
    """An array, or a number that can be one."""
    if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct | bool | int | float | complex):
        return True
    if not isinstance(leaf, np.ndarray | np.generic):
        return False
    return jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == np.bool_
