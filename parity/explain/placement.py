"""Values that hold the reference's elements in other places: a reshape, a reversal, a transpose.

Such a value is known by its content, so nothing departs until something reads it in its places.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from parity.explain.align import Counterpart
from parity.explain.graph import Graph, Node, Value
from parity.explain.layout import laid_out
from parity.explain.match import Knowledge, Matcher
from parity.explain.moves import repeating


def misplaced(
    origin: Node, matcher: Matcher, knowledge: Knowledge
) -> tuple[Node | None, Counterpart | None]:
    """The operation that put an input's elements in other places than the reference's, if one did.

    None beside a counterpart: the elements of a closed-over array stand in other places.

    Proof: with the elements in the reference's places the origin's output is the reference's.
    """
    moved: list[tuple[int, Value, Any]] = []
    for position, value in enumerate(origin.inputs):
        if value.constant or id(value) in knowledge.in_place:
            continue
        for twin in matcher.twins(value)[:4]:
            array = laid_out(twin.array, value.array)
            if array is not None and not bool(jnp.array_equal(array, value.array)):
                moved.append((position, twin, array))
                break
    # One of them, or all: the reference's places of one input are no use beside ours of another.
    for chosen in [*([m] for m in moved), moved]:
        arrays = [v.array for v in origin.inputs]
        for position, _, array in chosen:
            arrays[position] = array
        (result, *_) = origin.run(*arrays)
        mark = matcher.prints.of(Value(jnp.asarray(result)))
        if chosen and mark.telling and matcher.has(mark):
            position, twin, array = chosen[0]
            value = origin.inputs[position]
            node = _first_out_of_place(value, knowledge)
            return node, Counterpart(value, twin, array, False, 0.0, True)
    return None, None


def _first_out_of_place(value: Value, knowledge: Knowledge) -> Node | None:
    """Walk back to the operation whose inputs still stood where the reference's do."""
    node = value.node
    while node is not None:
        before = next(
            (v for v in node.inputs if not v.constant and id(v) not in knowledge.in_place), None
        )
        if before is None or before.node is None:
            return repeating(node) or node
        node = before.node
    return None


def misplaced_output(
    ours: Graph, matcher: Matcher, knowledge: Knowledge
) -> tuple[Node | None, Counterpart | None]:
    """The same for an output of the function, which nothing reads."""
    for name, value in ours.outputs.items():
        twin = matcher.reference.outputs.get(name)
        if twin is None or id(value) in knowledge.in_place or id(value) not in knowledge.known:
            continue
        same = matcher.prints.of(twin).content == matcher.prints.of(value).content
        if same and twin.array.shape == value.array.shape and value.node is not None:
            node = _first_out_of_place(value, knowledge)
            return node, Counterpart(value, twin, twin.array, False, 0.0, True)
    return None, None
