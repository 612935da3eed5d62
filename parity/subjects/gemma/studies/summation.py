"""In which order a compiled dot product adds its terms, found by running it, and replayed.

Two huge terms of opposite sign, at places i and j among ones, swallow every one that is added while
one of them is in the sum: what comes out is how many ones were not under the addition at which the
two meet. So a run says how many terms that addition covers, and all pairs of one place say how the
tree of additions looks from there. The method is that of FPRev (Xie, Gao and Xue 2024, arXiv
2411.00442).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# A one beside it is less than half its last place, in float32, for as many ones as are ever added.
_HUGE = 2.0**60

# [P D] rows -> [P] sums of each row's terms, as the dot product under test adds them.
Sums = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Chain:
    """A running sum: it begins with `parts[0]` and takes in the others one after the other.

    Attributes:
      parts: places of terms, and the sums of other chains.
    """

    parts: tuple[int | Chain, ...]

    @property
    def terms(self) -> list[int]:
        """Places of the terms that it takes in itself."""
        return [part for part in self.parts if isinstance(part, int)]

    @property
    def roundings(self) -> int:
        """Additions that the term which passes most of them passes."""
        depth = 0
        for number, part in enumerate(self.parts):
            inner = 0 if isinstance(part, int) else part.roundings
            depth = max(depth, inner) + (number > 0)
        return depth

    def chains(self) -> Iterator[Chain]:
        """This one and every one in it, by their first terms."""
        yield self
        for part in self.parts:
            if isinstance(part, Chain):
                yield from part.chains()

    def describe(self) -> str:
        """Such as `3 sums in a row, of 512 + 512 + 128` or `4 interleaved sums, of 288 each`."""
        chains = list(self.chains())
        lengths = [len(chain.terms) for chain in chains]
        steps = {b - a for chain in chains for a, b in itertools.pairwise(chain.terms)}
        each = f"{lengths[0]} each" if len(set(lengths)) == 1 else " + ".join(map(str, lengths))
        flat = all(isinstance(part, int) for chain in chains[1:] for part in chain.parts)
        if steps == {1} and flat:
            return f"{len(chains)} sums in a row, of {each}" if len(chains) > 1 else "one sum"
        kind = "interleaved" if steps == {len(chains)} else "mixed"
        return f"{len(chains)} {kind} sums, of {each}"


def reveal(sums: Sums, width: int) -> Chain:
    """The order in which `sums` adds `width` terms.

    Args:
      sums: must add float32 terms one by one, as CPUs do, in an order that no value changes.

    Raises:
      ValueError: what comes out is no count, so the sums are not of that kind.
    """

    def grow(places: Sequence[int]) -> Chain:
        first, others = places[0], places[1:]
        covered = _covered(sums, width, first, others)
        parts: list[int | Chain] = [first]
        for size in sorted(set(covered)):
            group = [place for place, c in zip(others, covered, strict=True) if c == size]
            parts.append(group[0] if len(group) == 1 else grow(group))
        return Chain(tuple(parts))

    return grow(range(width))


def replay(order: Chain, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[T D] times [F D] in float32, each sum in that order, as T F.

    Products are not rounded before they are added to a running sum, as a fused multiply-add does
    it: float64 holds the product of two float32 values, rounds once more when it adds, and so
    can round a sum twice, about once in 2^29 times.
    """
    columns = np.ascontiguousarray(weights.T.astype(np.float64))
    rows = np.ascontiguousarray(x.T.astype(np.float64))[:, :, None]

    def total(chain: Chain) -> np.ndarray:
        running = np.zeros((x.shape[0], weights.shape[0]), np.float32)
        for part in chain.parts:
            if isinstance(part, int):
                running = (rows[part] * columns[part] + running).astype(np.float32)
            else:
                running += total(part)
        return running

    return total(order)


def _covered(sums: Sums, width: int, first: int, others: Sequence[int]) -> list[int]:
    """For each other place, how many terms the addition covers at which it meets the first."""
    rows = np.ones((len(others), width), np.float32)
    rows[:, first] = _HUGE
    rows[np.arange(len(others)), np.asarray(others, int)] = -_HUGE
    covered = width - sums(rows)
    if not ((covered == np.round(covered)) & (covered > 1) & (covered <= width)).all():
        raise ValueError("the sums are not of single float32 additions; their order can't be told")
    return [int(c) for c in covered]
