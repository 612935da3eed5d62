"""A statement that only gives a value another name, as `residual = x` does.

It runs no operation, so no program has a line for it. Where a statement reads the wrong value, and
reads it by such a name, the mistake is where the name was given.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator

from parity.explain.graph import Value
from parity.explain.location import Location, location

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_CHOOSING = (ast.Name, ast.IfExp, ast.BoolOp)


def named_at(reading: Location, value: Value) -> Location | None:
    """The statement that gave a value the name by which another one reads it.

    None where it is read by the name that it was made with, or the source tells neither.

    Args:
      reading: the statement that reads the value.
    """
    function = _function(reading)
    if function is None:
        return None
    reader = _statement(function, reading.line)
    if reader is None:
        return None
    found = set[int]()
    for name in _names(reader):
        given = _binding(function, name, reader.lineno)
        if given is not None and isinstance(given.value, _CHOOSING):
            if any(_holds(function, n, given.lineno, reading, value) for n in _chosen(given.value)):
                found.add(given.lineno)
        elif _holds(function, name, reader.lineno, reading, value):
            return None
    if len(found) != 1:
        return None
    return location(reading.file, found.pop(), reading.function, reading.caller)


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _function(at: Location) -> ast.AST | None:
    """The innermost function that holds the line."""
    tree = _parsed("".join(linecache.getlines(at.file)))
    if tree is None:
        return None
    holding = [n for n in ast.walk(tree) if isinstance(n, _FUNCTIONS) and _spans(n, at.line)]
    return max(holding, key=lambda n: n.lineno, default=None)


def _spans(node: ast.expr | ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The function's own code, without that of functions inside it."""
    frontier = list(ast.iter_child_nodes(function))
    while frontier:
        node = frontier.pop()
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            frontier += ast.iter_child_nodes(node)


def _statement(function: ast.AST, line: int) -> ast.stmt | None:
    holding = [n for n in _own(function) if isinstance(n, ast.stmt) and _spans(n, line)]
    return max(holding, key=lambda n: n.lineno, default=None)


def _names(statement: ast.AST) -> set[str]:
    """Names that it reads as they are: not what is called, nor what a part is taken of."""
    whole = [
        n.func if isinstance(n, ast.Call) else n.value
        for n in ast.walk(statement)
        if isinstance(n, ast.Call | ast.Attribute | ast.Subscript)
    ]
    return {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n not in whole
    }


def _binding(function: ast.AST, name: str, before: int) -> ast.Assign | None:
    """The last statement above a line that gives the name a value."""
    above = [
        n
        for n in _own(function)
        if isinstance(n, ast.Assign)
        and n.lineno < before
        and any(isinstance(t, ast.Name) and t.id == name for t in _targets(n))
    ]
    return max(above, key=lambda n: n.lineno, default=None)


def _targets(statement: ast.Assign) -> Iterator[ast.AST]:
    for target in statement.targets:
        yield from ast.walk(target)


def _chosen(expression: ast.expr) -> set[str]:
    """Names of which the expression is one."""
    if isinstance(expression, ast.Name):
        return {expression.id}
    if isinstance(expression, ast.IfExp):
        return _chosen(expression.body) | _chosen(expression.orelse)
    if isinstance(expression, ast.BoolOp):
        return {name for part in expression.values for name in _chosen(part)}
    return set()


def _holds(function: ast.AST, name: str, line: int, frame: Location, value: Value) -> bool:
    """Above the line the name holds the value, as far as can be told from where that was made."""
    statement = _binding(function, name, line)
    at = _within(frame, value)
    if statement is None or at is None:
        return statement is None and at is None and name in _arguments(function)
    return _spans(statement, at)


def _within(frame: Location, value: Value) -> int | None:
    """The line of the frame's function below which the value was made; None if outside of it."""
    at = None if value.node is None else value.node.where
    while at is not None:
        if (at.file, at.function, at.caller) == (frame.file, frame.function, frame.caller):
            return at.line
        at = at.caller
    return None


def _arguments(function: ast.AST) -> set[str]:
    given = getattr(function, "args", None)
    return {n.arg for n in ast.walk(given) if isinstance(n, ast.arg)} if given else set()
