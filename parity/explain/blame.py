"""Which statement to name: where the wrong operation stands, or where it got a wrong operand.

- Two values that were unpacked the wrong way round are wrong at the statement that unpacked them.
- Where the reference goes on working on a value before it is used, and ours does not, something was
  left out after the statement that made it.
- An operation inside a helper that serves many callers, and serves others right, is wrong because
  of what this caller passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from parity.explain.graph import Graph, Node, Value
from parity.explain.layout import laid_out
from parity.explain.location import Location
from parity.explain.match import Knowledge, Matcher

# How far an operand is followed back, and how many operations can be left out.
_DEPTH = 4
_LEFT_OUT = 16


def blamed(
    node: Node, role: Node | None, ours: Graph, matcher: Matcher, knowledge: Knowledge
) -> tuple[Location, str]:
    """The statement to look at first, and what is wrong there, in words.

    Args:
      node: ours, whose inputs the reference has and whose output it hasn't.
      role: the reference's operation in its place.
    """
    swapped = _unpacked_the_wrong_way(node, ours, matcher)
    if swapped is not None:
        return swapped, "with two of its results exchanged, what follows agrees"
    if role is not None and role.operation == node.operation:
        for given, expected in _wrong_operands(node, role, matcher):
            if not _settles(node, given, expected, matcher):
                continue
            left_out = _left_out(given, expected, ours.nodes[: node.index], matcher)
            maker = maker_of(given, matcher)
            if left_out is not None and maker is not None:
                words = f"the reference has {left_out.operation} at {left_out.where}"
                if left_out.where.place == role.where.place:
                    return node.where, f"before it {words}"
                return maker.where, f"after it {words}"
            chosen = _where_chosen(node, given, expected, ours, matcher)
            if chosen is not None:
                return chosen, "it takes another value than the reference"
    return _caller_if_it_serves_others(node, role, ours, knowledge)


def _settles(node: Node, given: Value, expected: Value, matcher: Matcher) -> bool:
    """With the reference's operand the operation's result is the reference's."""
    if given not in node.inputs:  # further back; the operation itself can't be run on it
        return True
    array = laid_out(expected.array, given.array)
    if array is None:
        return False
    arrays = [array if v is given else v.array for v in node.inputs]
    (result, *_) = node.run(*arrays)
    return matcher.has(matcher.prints.of(Value(jnp.asarray(result))))


def _where_chosen(
    node: Node, given: Value, expected: Value, ours: Graph, matcher: Matcher
) -> Location | None:
    """The innermost line on the way to the operation at which both values could be had."""
    wanted = matcher.prints.of(expected).content
    others = [v for n in ours.nodes[: node.index] for v in n.outputs]
    others = [v for v in others if matcher.prints.of(v).content == wanted]
    if not others or given.node is None:
        return None
    frame: Location | None = node.where
    while frame is not None:
        at = frame
        if in_scope(at, given, ours) and any(in_scope(at, v, ours) for v in others):
            return frame
        frame = frame.caller
    return None


def in_scope(frame: Location, value: Value, ours: Graph) -> bool:
    """Made in this call of the frame's function, or read in it, as its arguments are."""
    if value.node is not None and _made_within(frame, value.node.where):
        return True
    return any(_made_within(frame, n.where) for n in ours.nodes if value in n.inputs)


def _made_within(frame: Location, place: Location) -> bool:
    """The place lies in the same call of the frame's function, or in what that calls."""
    at: Location | None = place
    while at is not None:
        same_function = (at.file, at.function) == (frame.file, frame.function)
        if same_function and at.caller == frame.caller:
            return True
        at = at.caller
    return False


def _wrong_operands(
    node: Node, role: Node, matcher: Matcher, depth: int = 0
) -> Iterator[tuple[Value, Value]]:
    """Pairs of the operand given and the one that the reference has, as far back as they differ."""

    def content(value: Value) -> Any:
        return matcher.prints.of(value).content

    expected = [v for v in role.inputs if content(v) not in {content(g) for g in node.inputs}]
    given = [v for v in node.inputs if content(v) not in {content(e) for e in role.inputs}]
    for ours, theirs in zip(given, expected, strict=False):
        if ours.constant or theirs.constant:
            continue
        makers = ours.node, theirs.node
        deeper: list[tuple[Value, Value]] = []
        first, second = makers
        alike = first and second and first.operation == second.operation
        if alike and first and second and depth < _DEPTH:
            # Of one operand nothing can be shared; a mask is made of others all the same.
            alone = ours.array.dtype != bool and all(
                sum(not v.constant for v in n.inputs) == 1 for n in (first, second)
            )
            shared = {content(v) for v in first.inputs} & {content(v) for v in second.inputs}
            if shared or alone:
                deeper = list(_wrong_operands(first, second, matcher, depth + 1))
        yield from deeper or [(ours, theirs)]


def _unpacked_the_wrong_way(node: Node, ours: Graph, matcher: Matcher) -> Location | None:
    """A statement two of whose results, exchanged, make the operation's output a known one."""
    readers = ours.consumers()
    contents = {matcher.prints.of(v).content for v in ours.values()}

    def read_elsewhere(value: Value, statement: Location) -> bool:
        return any(r.where.place != statement.place for r in readers.get(id(value), []))

    for value in _ancestors(node):
        statement = value.node.where if value.node else None
        if statement is None or statement == node.where or not read_elsewhere(value, statement):
            continue
        for other in ours.nodes[: node.index]:
            for sibling in other.outputs if other.where == statement else ():
                marks = matcher.prints.of(value), matcher.prints.of(sibling)
                alike = sibling.array.shape == value.array.shape and all(m.telling for m in marks)
                if sibling is value or not alike or not read_elsewhere(sibling, statement):
                    continue
                mark = matcher.prints.of(_exchanged(value, sibling, node, ours))
                if mark.telling and matcher.has(mark) and mark.content not in contents:
                    return statement
    return None


def _ancestors(node: Node) -> list[Value]:
    """Values that the operation was made of, nearest first."""
    found: list[Value] = []
    frontier = list(node.inputs)
    for _ in range(_DEPTH):
        found += [v for v in frontier if v.node is not None and v not in found]
        frontier = [w for v in frontier if v.node is not None for w in v.node.inputs]
    return found


def _exchanged(a: Value, b: Value, node: Node, ours: Graph) -> Value:
    """The operation's output when its readers get `b` for `a` and `a` for `b`."""
    fresh = {id(a): b.array, id(b): a.array}
    for later in ours.nodes[: node.index + 1]:
        makes = any(v is a or v is b for v in later.outputs)
        if makes or not any(id(v) in fresh for v in later.inputs):
            continue
        arrays = later.run(*(fresh.get(id(v), v.array) for v in later.inputs))
        fresh.update({id(v): array for v, array in zip(later.outputs, arrays, strict=True)})
    return Value(fresh.get(id(node.outputs[0]), node.outputs[0].array))


def maker_of(value: Value, matcher: Matcher) -> Node | None:
    """The operation that made the value's elements; later ones only moved or cast them.

    None where they were given.
    """
    node = value.node
    while node is not None:
        same = [
            v
            for v in node.inputs
            if v.node is not None
            and matcher.prints.of(v).content == matcher.prints.of(value).content
        ]
        if not same:
            return node
        node = same[0].node
    return None


def _left_out(
    given: Value, expected: Value, before: Sequence[Node], matcher: Matcher
) -> Node | None:
    """What the reference does first to the operand before it uses it, if ours has none of that."""
    contents = {matcher.prints.of(v).content for node in before for v in node.outputs}
    start = matcher.prints.of(given).content
    operations: list[Node] = []
    frontier = [expected]
    while frontier and len(operations) < _LEFT_OUT:
        value = frontier.pop()
        if matcher.prints.of(value).content == start:
            return operations[-1] if operations else None
        if value.node is None or value.constant or matcher.prints.of(value).content in contents:
            continue
        operations.append(value.node)
        frontier += value.node.inputs
    return None


def _caller_if_it_serves_others(
    node: Node, role: Node | None, ours: Graph, knowledge: Knowledge
) -> tuple[Location, str]:
    caller = node.where.caller
    if caller is None:
        return node.where, ""
    right = [
        other
        for other in ours.nodes
        if _slot(other) == _slot(node)
        and other.where.caller is not None
        and other.where.caller.place != caller.place
        and all(id(v) in knowledge.known for v in other.outputs)
        and any(not v.constant for v in other.inputs)
    ]
    if role is not None and constants(node) != constants(role):
        right = [other for other in right if constants(other) != constants(node)]
    if not right:
        return node.where, ""
    return caller, f"what it calls, {node.where}, is right for other callers"


def _slot(node: Node) -> tuple[Any, ...]:
    """Which operation of its line it is, whoever called."""
    return node.where.place, node.operation, node.slot


def constants(node: Node) -> list[float]:
    """The single numbers written in an operation."""
    arrays = [np.asarray(v.array) for v in node.inputs if v.constant]
    return [float(array) for array in arrays if array.size == 1 and array.dtype.kind != "c"]
