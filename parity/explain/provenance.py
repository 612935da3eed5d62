"""Which statement made an array that a function closes over, or made with NumPy as it was traced.

A traced program has no line for such an array: it is a constant there. The function is run once
more under a trace function of Python's, which sees what the model's own functions return, and what
they pass to those of libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import jax
import numpy as np

from parity.explain.location import Location, in_library

_SAME = 1e-6


def made_at(fn: Callable[..., Any], args: Sequence[Any], array: Any) -> Location | None:
    """The statement of the model that first returned this array, or passed it to a function.

    Its elements may have been turned round or rounded since. None where none did.

    Args:
      fn, args: traced again; what it raises is ignored.
    """
    wanted = np.sort(np.asarray(array, np.float64), axis=None)
    found: list[Location] = []

    def local(frame: FrameType, event: str, returned: Any) -> Any:
        if event == "return" and not found and _is(returned, wanted):
            found.append(_statement(frame))
        return local

    def entered(frame: FrameType, *_: Any) -> Any:
        if found:
            return None
        if not in_library(frame.f_code.co_filename):
            return local
        caller = frame.f_back
        outside = caller is not None and not in_library(caller.f_code.co_filename)
        if caller and outside and any(_is(x, wanted) for x in frame.f_locals.values()):
            found.append(_statement(caller))
        return None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        # As another function: JAX keeps what it traced.
        jax.eval_shape(lambda *given: fn(*given), *args)
    except Exception:  # it was traced before; whatever it raises now is of no interest
        return None
    finally:
        sys.settrace(before)
    return found[0] if found else None


def _statement(frame: FrameType) -> Location:
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def _is(returned: Any, wanted: np.ndarray) -> bool:
    if isinstance(returned, jax.core.Tracer) or not isinstance(returned, np.ndarray | jax.Array):
        return False
    if returned.size != wanted.size or returned.dtype.kind not in "fiu":
        return False
    ordered = np.sort(np.asarray(returned, np.float64), axis=None)
    return bool(np.allclose(ordered, wanted, rtol=_SAME, atol=0))
