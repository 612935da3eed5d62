"""What one text does wrong it does wrong wherever it runs, but for what is right there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from parity.explain.blame import constants
from parity.explain.edit import Edit
from parity.explain.graph import Graph, Node
from parity.explain.match import Matcher


def edit_everywhere(edit: Edit, ours: Graph, matcher: Matcher, known: set[int]) -> None:
    """Make an edit of one operation in the others of the same text, too.

    Args:
      known: ids of our values that the reference has.
    """
    first = edit.nodes[0]
    for node in ours.nodes:
        if node in edit.nodes:
            continue
        text = (node.where.place, node.operation, constants(node))
        if text == (first.where.place, first.operation, constants(first)):
            run = edit.made(dataclasses.replace(node))
            there = any(id(v) in known for v in node.outputs)
            if run is not None and _belongs(node, run, there or edit.taken is not None, matcher):
                node.run = run
                ours.run_again(node)


def _belongs(
    node: Node, run: Callable[..., Sequence[Any]], doubtful: bool, matcher: Matcher
) -> bool:
    """It gives arrays of its shapes; and where there is doubt, ones that the reference has."""
    arrays = _made(node, run)
    if arrays is None or not doubtful:
        return arrays is not None
    mark = matcher.prints.found(arrays[0])
    return mark is not None and mark.telling and matcher.has(mark)


def _made(node: Node, run: Callable[..., Sequence[Any]]) -> Sequence[Any] | None:
    """What it gives on the node's inputs; None unless that has the shapes of the node's outputs."""
    try:
        arrays = run(*(v.array for v in node.inputs))
    except Exception:  # an edit may have no meaning on these shapes; libraries say so in many ways
        return None
    same = [np.shape(a) for a in arrays] == [v.array.shape for v in node.outputs]
    return arrays if same else None
