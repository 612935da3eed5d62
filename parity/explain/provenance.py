"""Which statement made a constant: an array of NumPy's, or a number that Python computed.

A traced program has no line for either. The function is run once
more under a trace function of Python's, which sees what the model's own functions return, and what
they pass to those of libraries.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import jax
import numpy as np

from parity.explain.graph import Value
from parity.explain.location import Location, in_library, location

_SAME = 1e-6


class Provenance:
    """Where a function's constants were made.

    Args:
      fn, args: traced again at each question; what it raises is ignored.
    """

    def __init__(self, fn: Callable[..., Any], args: Sequence[Any]) -> None:
        self._fn = fn
        self._args = args

    def array(self, array: Any) -> Location | None:
        """The statement of the model that first returned this array, or passed it to a function.

        Its elements may have been turned round or rounded since. None where none did.
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

        self._traced(entered)
        return found[0] if found else None

    def number(self, number: float, used: Location) -> Location | None:
        """The statement that gave a variable this number, in the function that uses it.

        None where the number is written at the place of use, or came from elsewhere.
        """
        found: list[Location] = []

        def entered(frame: FrameType, *_: Any) -> Any:
            code = frame.f_code
            if (code.co_filename, code.co_qualname) != (used.file, used.function):
                return None
            before = frame.f_lineno
            had = _named(frame, number)

            def local(frame: FrameType, *_: Any) -> Any:
                nonlocal before
                named = {
                    name
                    for name in _named(frame, number)
                    if re.search(rf"\b{re.escape(name)}\b", used.text)
                }
                # One that was given to the function may be the one that is read.
                if named and not named & had and not found:
                    found.append(location(used.file, before, used.function, used.caller))
                before = frame.f_lineno
                return local

            return local

        self._traced(entered)
        return found[0] if found else None

    def _traced(self, entered: Callable[..., Any]) -> None:
        before = sys.gettrace()
        sys.settrace(entered)
        try:
            # As another function: JAX keeps what it traced.
            jax.eval_shape(lambda *given: self._fn(*given), *self._args)
        except Exception:  # it was traced before; whatever it raises now is of no interest
            return
        finally:
            sys.settrace(before)


@dataclass(frozen=True)
class Foreign:
    """An array that the reference hasn't: where it was made, and what is said of it."""

    where: Location
    words: str


def foreign(values: Sequence[Value], known: set[int], provenance: Provenance) -> Foreign | None:
    """The array among these that ours closes over and the reference hasn't.

    None where there is none, or where several were made at several statements.
    """
    found = [v for v in values if v.closed and v.array.size > 1 and id(v) not in known]
    places = [provenance.array(v.array) for v in found]
    if not places or places[0] is None:
        return None
    if any(at is None or at.place != places[0].place for at in places):
        return None
    return Foreign(places[0], f"our {found[0].name} is none of the reference's values")


def _named(frame: FrameType, number: float) -> set[str]:
    """Variables of a frame that hold the number."""
    plain = int | float | np.floating | np.integer
    return {
        name
        for name, value in frame.f_locals.items()
        if isinstance(value, plain) and math.isclose(float(value), number, rel_tol=_SAME)
    }


def _statement(frame: FrameType) -> Location:
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def _is(returned: Any, wanted: np.ndarray) -> bool:
    if isinstance(returned, jax.core.Tracer) or not isinstance(returned, np.ndarray | jax.Array):
        return False
    if returned.size != wanted.size or returned.dtype.kind not in "fiu":
        return False
    ordered = np.sort(np.asarray(returned, np.float64), axis=None)
    return bool(np.allclose(ordered, wanted, rtol=_SAME, atol=0))
