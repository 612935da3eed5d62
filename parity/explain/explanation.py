"""Two functions of the same arguments -> where they depart, statement by statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from parity.errors import RequestError
from parity.explain.attribution import Attribution, attribute
from parity.explain.faithful import Faithfulness, faithfulness
from parity.explain.findings import Finding, differing, find
from parity.explain.graph import Graph, replay
from parity.explain.location import Location


@dataclass
class Cause:
    """One statement, and every operation at which it makes values depart.

    Attributes:
      findings: in execution order; the first is shown.
      attribution: what choice of numerics removes the difference, if that was searched.
      elsewhere: where else the same happens, in words.
    """

    findings: list[Finding]
    attribution: Attribution | None = None
    elsewhere: str = ""

    @property
    def where(self) -> Location:
        return self.findings[0].where


@dataclass
class Explanation:
    """Causes in execution order; none where the functions agree.

    Attributes:
      faithful: whether the replay is what compiled programs compute.
    """

    causes: list[Cause]
    faithful: Faithfulness | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        from parity.report.explanation import explanation_text

        return explanation_text(self)


def explain(
    ours: Callable[..., Any], reference: Callable[..., Any], *inputs: Any, attribution: bool = True
) -> Explanation:
    """Find every statement of `ours` at which it departs from `reference`.

    Args:
      ours, reference: JAX functions of the same arguments; pytrees of arrays in, the same tree of
        the same shapes out. They need no taps and no common names.
      inputs: on which both are run, operation by operation.
      attribution: also search what way of compiling explains the difference.

    Raises:
      RequestError: a function can't be traced or replayed, or their outputs are of different kinds.
    """
    theirs = replay(reference, inputs, "the reference")
    own = replay(ours, inputs, "ours")
    check_outputs(own, theirs)
    faithful = faithfulness(ours, reference, inputs, own, theirs)
    causes = grouped(find(own, theirs))
    if attribution and causes:
        causes[0].attribution = attribute([], ours, reference, inputs)
    return Explanation(causes, faithful)


def check_outputs(ours: Graph, reference: Graph) -> None:
    """Functions whose outputs can't be compared don't compute the same kind of thing.

    Raises:
      RequestError: naming the outputs that differ in name or shape.
    """

    def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
        return {name: tuple(v.array.shape) for name, v in graph.outputs.items()}

    own, theirs = shapes(ours), shapes(reference)
    if own != theirs:
        raise RequestError(
            f"the two functions don't compute the same kind of thing: ours returns {own}, "
            f"the reference {theirs}"
        )


def grouped(findings: Sequence[Finding]) -> list[Cause]:
    """Findings by statement, in the order of their first operation."""
    causes: dict[tuple[str, int], Cause] = {}
    for finding in findings:
        causes.setdefault(finding.where.place, Cause([])).findings.append(finding)
    return list(causes.values())


def figures(finding: Finding) -> str:
    """How much the values differ where the two line up."""
    counted = differing(finding)
    if counted is None:
        return "no counterpart to compare with"
    count, size = counted
    a, b = (np.asarray(x).astype(np.float64) for x in (finding.ours, finding.reference))
    return f"{count} of {size} differ, by up to {float(np.nanmax(np.abs(a - b))):.3g}"


def shape_of(array: Any) -> str:
    """Such as `bfloat16[2, 16]`."""
    return f"{jax.numpy.asarray(array).dtype}{list(array.shape)}"
