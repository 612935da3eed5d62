"""Operations run by NumPy, so that nothing has to be compiled.

A replay runs each operation alone, thousands of them on small arrays: XLA compiles each for longer
than it runs. In float64, where no bit is asked of them, NumPy's are as good. What isn't in the
table is run by JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special

Params = Mapping[str, Any]
Host = Callable[..., Any]


def on_host(name: str, params: Params) -> Callable[..., Sequence[np.ndarray]] | None:
    """The operation of these parameters: arrays in, arrays out; None where it has no row."""
    plain, made = _ELEMENTWISE.get(name), _WITH_PARAMETERS.get(name)
    narrow = params.get("preferred_element_type")
    if (plain is None and made is None) or (narrow is not None and np.dtype(narrow).kind in "iu"):
        return None

    def run(*arrays: Any) -> Sequence[np.ndarray]:
        given = [np.asarray(x) for x in arrays]
        with np.errstate(all="ignore"):
            found = plain(*given) if plain is not None else made(params, *given)  # type: ignore[misc]
        return found if isinstance(found, list) else [found]

    return run


def _logistic(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind in "fc":
        return a / b
    return np.trunc(a / np.where(b == 0, 1, b)).astype(a.dtype)


def _selected(which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    if len(cases) == 2 and which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(np.broadcast_to(which, cases[0].shape), cases)


_ELEMENTWISE: dict[str, Host] = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divided,
    "max": np.maximum,
    "min": np.minimum,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erf_inv": scipy.special.erfinv,
    "rem": np.fmod,
    "logistic": _logistic,
    "pow": np.power,
    "is_finite": np.isfinite,
    "select_n": _selected,
    "stop_gradient": lambda x: x,
    "copy": lambda x: x,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "clamp": lambda low, x, high: np.clip(x, low, high),
}


def _dot_general(p: Params, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Batch axes, then what is left of the first, then of the second."""
    (over_a, over_b), (batch_a, batch_b) = p["dimension_numbers"]
    rest_a = [i for i in range(a.ndim) if i not in (*over_a, *batch_a)]
    rest_b = [i for i in range(b.ndim) if i not in (*over_b, *batch_b)]
    count = int(np.prod([a.shape[i] for i in over_a], dtype=np.int64))
    batch = tuple(a.shape[i] for i in batch_a)
    own, others = [a.shape[i] for i in rest_a], [b.shape[i] for i in rest_b]
    left = a.transpose(*batch_a, *rest_a, *over_a).reshape(*batch, math.prod(own), count)
    right = b.transpose(*batch_b, *over_b, *rest_b).reshape(*batch, count, math.prod(others))
    made = left @ right
    return made.reshape((*batch, *own, *others))


def _broadcast(p: Params, x: np.ndarray) -> np.ndarray:
    shape = [1] * len(p["shape"])
    for axis, size in zip(p["broadcast_dimensions"], x.shape, strict=True):
        shape[axis] = size
    return np.broadcast_to(x.reshape(shape), p["shape"])


def _reshaped(p: Params, x: np.ndarray) -> np.ndarray:
    """Its axes in another order first, where one is given."""
    order = p.get("dimensions")
    return (x if order is None else x.transpose(order)).reshape(p["new_sizes"])


def _sliced(p: Params, x: np.ndarray) -> np.ndarray:
    strides = p["strides"] or (1,) * x.ndim
    places = zip(p["start_indices"], p["limit_indices"], strides, strict=True)
    return x[tuple(slice(*place) for place in places)]


def _iota(p: Params) -> np.ndarray:
    along = np.arange(p["shape"][p["dimension"]]).astype(p["dtype"])
    shape = [1] * len(p["shape"])
    shape[p["dimension"]] = along.size
    return np.broadcast_to(along.reshape(shape), p["shape"])


def _summed(p: Params, x: np.ndarray) -> np.ndarray:
    return x.sum(axis=tuple(p["axes"]), dtype=x.dtype)


def _bounds(x: np.ndarray) -> tuple[Any, Any]:
    """The least and the greatest number of a dtype, which the extremes of nothing are."""
    if x.dtype.kind == "f":
        return -np.inf, np.inf
    if x.dtype.kind == "b":
        return False, True
    return np.iinfo(x.dtype).min, np.iinfo(x.dtype).max


def _accumulated(p: Params, x: np.ndarray) -> np.ndarray:
    if not p["reverse"]:
        return np.cumsum(x, axis=p["axis"], dtype=x.dtype)
    return np.flip(np.cumsum(np.flip(x, p["axis"]), axis=p["axis"], dtype=x.dtype), p["axis"])


_WITH_PARAMETERS: dict[str, Host] = {
    "integer_pow": lambda p, x: x ** p["y"] if p["y"] >= 0 else 1 / x ** -p["y"],
    "dot_general": _dot_general,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshaped,
    "transpose": lambda p, x: x.transpose(p["permutation"]),
    "squeeze": lambda p, x: np.squeeze(x, axis=tuple(p["dimensions"])),
    "concatenate": lambda p, *xs: np.concatenate(xs, axis=p["dimension"]),
    "rev": lambda p, x: np.flip(x, tuple(p["dimensions"])),
    "slice": _sliced,
    "iota": _iota,
    "reduce_sum": _summed,
    "reduce_max": lambda p, x: x.max(axis=tuple(p["axes"]), initial=_bounds(x)[0]),
    "reduce_min": lambda p, x: x.min(axis=tuple(p["axes"]), initial=_bounds(x)[1]),
    "reduce_prod": lambda p, x: x.prod(axis=tuple(p["axes"]), dtype=x.dtype),
    "reduce_and": lambda p, x: x.all(axis=tuple(p["axes"])),
    "reduce_or": lambda p, x: x.any(axis=tuple(p["axes"])),
    "convert_element_type": lambda p, x: x.astype(p["new_dtype"]),
    "argmax": lambda p, x: np.argmax(x, *p["axes"]).astype(p["index_dtype"]),
    "argmin": lambda p, x: np.argmin(x, *p["axes"]).astype(p["index_dtype"]),
    "cumsum": _accumulated,
    "split": lambda p, x: np.split(x, np.cumsum(p["sizes"])[:-1], p["axis"]),
}
