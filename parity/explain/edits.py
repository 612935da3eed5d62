"""Single edits of a program's operations: what one might have written instead.

An edit that makes a wrong value the other program's, to many digits, says which operation is at
fault, and what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from parity.explain.content import close, numbers
from parity.explain.graph import Node, Value
from parity.explain.slices import Slice
from parity.program.host import on_host

Run = Callable[..., Sequence[Any]]

# An operation -> those that are easily written in its place.
_SIBLINGS: dict[str, tuple[str, ...]] = {
    "add": ("sub", "mul", "max"),
    "sub": ("add", "mul"),
    "mul": ("div", "add"),
    "div": ("mul", "sub"),
    "max": ("min", "add"),
    "min": ("max",),
    "sin": ("cos",),
    "cos": ("sin",),
    "tanh": ("logistic", "erf"),
    "logistic": ("tanh",),
    "exp": ("exp2", "expm1"),
    "exp2": ("exp",),
    "log": ("log1p",),
    "log1p": ("log",),
    "sqrt": ("rsqrt", "square"),
    "rsqrt": ("sqrt",),
    "gt": ("ge", "lt", "le"),
    "ge": ("gt", "le", "lt"),
    "lt": ("le", "gt", "ge"),
    "le": ("lt", "ge", "gt"),
    "and": ("or",),
    "or": ("and",),
    "floor": ("round", "ceil"),
    "ceil": ("floor", "round"),
    "round": ("floor", "ceil"),
    "reduce_sum": ("reduce_max",),
    "reduce_max": ("reduce_sum", "reduce_min"),
    "reduce_min": ("reduce_max",),
    "cumsum": ("cumprod", "cummax"),
}
_ORDERED = frozenset(("sub", "div", "pow", "gt", "ge", "lt", "le", "concatenate", "atan2", "rem"))
_AXES = frozenset(("reduce_sum", "reduce_max", "reduce_min", "argmax", "argmin"))
_ONE_AXIS = frozenset(("cumsum", "cumprod", "cummax", "cumlogsumexp"))
_MOST_OPERANDS = 12
_MOST_STEPS = 40
_LARGEST = 1 << 18


@dataclass(frozen=True)
class Edit:
    """An edit that repairs.

    Attributes:
      nodes: the operations that it changes.
      words: what it does.
      made: what is run instead at an operation; None where that has no meaning.
      constant: the number that it takes, and the one that was there.
      general: it can be made wherever the same text is run.
    """

    nodes: tuple[Node, ...]
    words: str
    made: Callable[[Node], Run | None]
    constant: tuple[float, float] | None = None
    general: bool = True


def repairing(cone: Slice, value: Value, wanted: Any, others: Sequence[Value] = ()) -> Edit | None:
    """The edit of one operation of the cone after which the value is the wanted array.

    Args:
      others: values that may be an operand in place of the one given.
    """
    expected = numbers(wanted)
    if expected.size > _LARGEST:
        return None

    def settles(nodes: Sequence[Node], made: Callable[[Node], Run | None]) -> bool:
        array = _edited(cone.nodes, value, nodes, made)
        return array is not None and array.shape == wanted.shape and close(numbers(array), expected)

    groups = _groups(cone.nodes)
    for nodes in reversed(groups):
        for words, made in _edits(nodes[0]):
            if settles(nodes, made):
                return Edit(tuple(nodes), words, made)
    for nodes in reversed(groups):
        for words, made in _operands(nodes[0], others):
            if settles(nodes, made):
                return Edit(tuple(nodes), words, made, general=False)
    solved = [edit for nodes in groups for edit in _constants(cone, value, expected, nodes)]
    if solved:
        return min(solved, key=_roughness)
    for nodes in reversed(groups):
        for words, made in _without(nodes[0]):
            if settles(nodes, made):
                return Edit(tuple(nodes), words, made)
    return None


def _without(node: Node) -> Iterator[tuple[str, Callable[[Node], Run | None]]]:
    for place, given in enumerate(node.inputs):
        if not given.constant and given.array.shape == node.outputs[0].array.shape:
            yield f"without {node.operation}", lambda n, i=place: lambda *x: [x[i]]


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """Operations by the text that they run, which may be in a loop, or in a helper called twice."""
    narrow: dict[Any, list[Node]] = {}
    wide: dict[Any, list[Node]] = {}
    for node in nodes:
        narrow.setdefault((node.where.place, node.operation, node.slot), []).append(node)
        wide.setdefault((node.where.place, node.operation), []).append(node)
    once = list(narrow.values())
    return [*(g for g in wide.values() if g not in once), *once]


def _edited(
    nodes: Sequence[Node], value: Value, chosen: Sequence[Node], made: Callable[[Node], Run | None]
) -> Any | None:
    """The value where the chosen operations are run another way; None where that can't be."""
    fresh: dict[int, Any] = {}
    for node in nodes:
        if node not in chosen and not any(id(v) in fresh for v in node.inputs):
            continue
        try:
            run = made(node) if node in chosen else node.run
            if run is None:
                return None
            arrays = run(*(fresh.get(id(v), v.array) for v in node.inputs))
        except Exception:  # an edit that makes no sense; libraries refuse it in their own ways
            return None
        for output, array in zip(node.outputs, arrays, strict=False):
            if np.shape(array) != output.array.shape:
                return None
            fresh[id(output)] = np.asarray(array).astype(output.array.dtype)
    return fresh.get(id(value))


def _edits(node: Node) -> Iterator[tuple[str, Callable[[Node], Run | None]]]:
    def result(fn: Callable[[Any], Any]) -> Callable[[Node], Run | None]:
        def made(node: Node) -> Run:
            def run(*arrays: Any) -> Sequence[Any]:
                first, *rest = node.run(*arrays)
                with np.errstate(all="ignore"):
                    return [fn(np.asarray(first)), *rest]

            return run

        return made

    inputs, array = node.inputs, node.outputs[0].array
    if len(inputs) == 2 and node.operation in _ORDERED:
        yield f"with the operands of {node.operation} exchanged", lambda n: lambda a, b: n.run(b, a)
    if node.operation == "select_n" and len(inputs) == 3:
        yield "with the two cases exchanged", lambda n: lambda p, a, b: n.run(p, b, a)
    for sibling in _SIBLINGS.get(node.operation, ()):
        yield f"with {sibling} for {node.operation}", lambda n, s=sibling: _other(n, s)
    if node.operation == "concatenate" and len(inputs) > 2:
        yield "with its parts in the other order", lambda n: lambda *x: n.run(*x[::-1])
    for axes in _other_axes(node):
        yield f"along axis {', '.join(map(str, axes))}", lambda n, a=axes: _along(n, a)
    if node.operation == "conv_general_dilated":
        yield from _convolutions(node)
    if array.dtype == bool:
        yield "negated", result(np.logical_not)
        return
    if not jnp.issubdtype(array.dtype, jnp.floating):
        yield "one more", result(lambda a: a + 1)
        yield "one less", result(lambda a: a - 1)
        return
    yield "with the other sign", result(np.negative)
    yield "squared", result(np.square)
    yield "as its root", result(np.sqrt)
    yield "as 1 over it", result(lambda a: 1 / a)
    yield "plus 1", result(lambda a: a + 1)
    yield "less 1", result(lambda a: a - 1)
    yield "as 1 less it", result(lambda a: 1 - a)
    yield "as its exponential", result(np.exp)
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            yield "divided by its sum", result(lambda a, i=axis: a / a.sum(i, keepdims=True))
            yield "less its mean", result(lambda a, i=axis: a - a.mean(i, keepdims=True))
            yield "in reverse", result(lambda a, i=axis: np.flip(a, i))


def _convolutions(node: Node) -> Iterator[tuple[str, Callable[[Node], Run | None]]]:
    """Padding shifted, and the kernel turned round."""
    spatial = node.parameters["dimension_numbers"].rhs_spec[2:]
    pads = tuple(node.parameters["padding"])
    dilation = node.parameters["rhs_dilation"]
    shape = node.inputs[1].array.shape
    reach = [(shape[axis] - 1) * step for axis, step in zip(spatial, dilation, strict=True)]
    even = tuple((r // 2, r // 2) for r in reach)
    others = [even, tuple((high, low) for low, high in pads), tuple((0, 0) for _ in pads)]
    others += [tuple((low + i, high - i) for low, high in pads) for i in (1, -1, 2, -2)]
    for other in dict.fromkeys(others):
        if other != pads:
            yield f"with padding {other} for {pads}", lambda n, p=other: _given(n, padding=p)
    yield (
        "with the kernel turned round",
        lambda n: lambda x, w: n.run(x, np.flip(np.asarray(w), tuple(spatial))),
    )


def _given(node: Node, **parameters: Any) -> Run | None:
    return None if node.changed is None else node.changed(**parameters)


def _other(node: Node, sibling: str) -> Run | None:
    plain = on_host(sibling, node.parameters)
    if plain is not None:
        return plain
    if sibling.startswith("cum"):
        rest = {k: node.parameters[k] for k in ("axis", "reverse") if k in node.parameters}
        return lambda x: [getattr(lax, sibling)(x, **rest)]
    return lambda *x: [getattr(lax, sibling)(*x)]


def _other_axes(node: Node) -> Iterator[tuple[int, ...]]:
    if node.operation in _AXES:
        axes = tuple(node.parameters["axes"])
        if len(axes) == 1:
            yield from ((a,) for a in range(node.inputs[0].array.ndim) if a != axes[0])
    elif node.operation in _ONE_AXIS:
        axis = node.parameters["axis"]
        yield from ((a,) for a in range(node.inputs[0].array.ndim) if a != axis)


def _along(node: Node, axes: tuple[int, ...]) -> Run | None:
    if node.operation in _AXES:
        return on_host(node.operation, {**node.parameters, "axes": axes})
    return lambda x: [getattr(lax, node.operation)(x, axis=axes[0])]


def _operands(
    node: Node, others: Sequence[Value]
) -> Iterator[tuple[str, Callable[[Node], Run | None]]]:
    """Another value of the same shape in place of an operand."""
    for place, given in enumerate(node.inputs):
        alike = [
            v
            for v in others
            if v is not given
            and v.array.shape == given.array.shape
            and v.array.dtype == given.array.dtype
            and (v.node is None or v.node.index < node.index)
        ]
        for other in alike[:_MOST_OPERANDS]:

            def made(n: Node, i: int = place, o: Value = other) -> Run:
                return lambda *x: n.run(*x[:i], o.array, *x[i + 1 :])

            yield f"with {_worded(other)} for {_worded(given)}", made


def _worded(value: Value) -> str:
    if value.node is None:
        return value.name or "a constant"
    return f"the {value.node.operation} at line {value.node.where.line}"


def _constants(
    cone: Slice, value: Value, expected: np.ndarray, nodes: Sequence[Node]
) -> Iterator[Edit]:
    """One number of an operation, solved for by the secant method on the whole array."""
    for place, given in enumerate(nodes[0].inputs):
        array = given.array
        scalar = array.size == 1 and jnp.issubdtype(array.dtype, jnp.floating)
        if not scalar or not (given.constant or given.node is None or _written(given)):
            continue
        start = float(array.reshape(()))

        def at(number: float, i: int = place, like: Any = array) -> np.ndarray | None:
            def changed(n: Node) -> Run:
                return lambda *x: n.run(*x[:i], np.full_like(like, number), *x[i + 1 :])

            array = _edited(cone.nodes, value, nodes, changed)
            return None if array is None else numbers(array)

        number = _solved(at, start, expected)
        if number is not None:
            words = f"with {_short(number)} for {_short(start)}"

            def solved(n: Node, i: int = place, like: Any = array, to: float = number) -> Run:
                return lambda *x: n.run(*x[:i], np.full_like(like, to), *x[i + 1 :])

            maker = given.node
            while maker is not None and maker.operation == "convert_element_type":
                maker = maker.inputs[0].node
            made = tuple(nodes) if maker is None else (maker,)
            yield Edit(made, words, solved, (number, start))


def _written(value: Value) -> bool:
    """A number made of numbers written in the program."""
    frontier, seen = [value], 0
    while frontier:
        at = frontier.pop()
        seen += 1
        if at.constant:
            continue
        if at.node is None or at.array.size != 1 or seen > 20:
            return False
        frontier += at.node.inputs
    return True


def _solved(
    at: Callable[[float], np.ndarray | None], start: float, expected: np.ndarray
) -> float | None:
    """The number at which the array is the expected one."""
    here, finite = at(start), np.abs(expected) < 1e8
    if here is None or not finite.any():
        return None

    def error(array: np.ndarray) -> float:
        # One element, the one that is farthest at the start, has to become right.
        return float(array.reshape(-1)[chosen] - expected.reshape(-1)[chosen])

    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(finite, np.abs(here - expected), 0)
    chosen = int(np.nanargmax(gap))
    wanted = expected.reshape(-1)[chosen]
    for positive in (True, False):
        if positive and start <= 0:
            continue
        # Of a positive number its logarithm: a base or an epsilon is off by factors.
        scale = math.exp if positive else float
        a = math.log(start) if positive else start
        b = a + (0.1 if positive else 0.1 * abs(start) + 1e-6)
        try:
            previous, there = error(here), at(scale(b))
            for _ in range(_MOST_STEPS):
                if there is None or not np.isfinite(there.reshape(-1)[chosen]):
                    break
                current = error(there)
                if abs(current) <= 1e-13 * abs(wanted) or current == previous:
                    break
                a, b = b, b - current * (b - a) / (current - previous)
                previous, there = current, at(scale(b))
        except (ZeroDivisionError, OverflowError):
            continue
        if there is not None and close(there, expected) and scale(b) != start:
            return float(scale(b))
    return None


def _short(number: float) -> str:
    return f"{number:.6g}"


def _roughness(edit: Edit) -> int:
    """How many digits the new number takes: people write round ones."""
    assert edit.constant is not None
    mantissa, _ = f"{edit.constant[0]:.5e}".split("e")
    return len(mantissa.strip("-0.").replace(".", ""))
