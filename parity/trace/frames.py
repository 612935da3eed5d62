"""Traces: the ordered frames of one run, in memory."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import ml_dtypes
import numpy as np

from parity.trace.manifest import Manifest


@dataclass(frozen=True)
class FrameSpec:
    """What is known of a frame before it is recorded.

    Attributes:
      index: its place in execution order, from 0.
      name: the tap's name.
      shape, dtype: of the array, `dtype` as its name (`bfloat16`).
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * numpy_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Frame:
    """One recorded array."""

    spec: FrameSpec
    value: np.ndarray


class Sink(Protocol):
    """Receives a run: `begin` once with all that will come, then each frame in index order."""

    def begin(self, specs: Sequence[FrameSpec]) -> None: ...

    def put(self, frame: Frame) -> None: ...


class Trace:
    """Frames of one run, read one at a time: `for frame in trace.frames()`, or `trace[name]`."""

    def __init__(
        self,
        manifest: Manifest,
        specs: Sequence[FrameSpec],
        read: Callable[[FrameSpec], np.ndarray],
    ) -> None:
        self.manifest = manifest
        self.specs = tuple(specs)
        self._read = read
        self._by_name = {spec.name: spec for spec in self.specs}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(self._by_name[name])

    def spec(self, name: str) -> FrameSpec:
        return self._by_name[name]

    def frames(self) -> Iterator[Frame]:
        """Every frame in execution order, each read when it is reached."""
        for spec in self.specs:
            yield Frame(spec, self._read(spec))

    def without(self, names: Collection[str]) -> Trace:
        """The same frames but for those."""
        kept = [spec for spec in self.specs if spec.name not in names]
        return Trace(self.manifest, kept, self._read)

    def matching(self, select: str) -> Trace:
        """The frames whose names match one of these comma-separated glob patterns."""
        patterns = [pattern.strip() for pattern in select.split(",")]
        kept = [s for s in self.specs if any(fnmatch.fnmatchcase(s.name, p) for p in patterns)]
        return Trace(self.manifest, kept, self._read)

    @property
    def nbytes(self) -> int:
        return sum(spec.nbytes for spec in self.specs)


class MemorySink:
    """Keeps every frame in memory."""

    def __init__(self) -> None:
        self._values: dict[str, np.ndarray] = {}
        self._specs: list[FrameSpec] = []

    def begin(self, specs: Sequence[FrameSpec]) -> None:
        del specs
        self._values = {}
        self._specs = []

    def put(self, frame: Frame) -> None:
        self._values[frame.spec.name] = frame.value
        self._specs.append(frame.spec)

    def trace(self, manifest: Manifest) -> Trace:
        """The frames put so far."""
        values = self._values
        return Trace(manifest, self._specs, lambda spec: values[spec.name])


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of a name, those of ml_dtypes (`bfloat16`, …) included.

    Raises:
      TypeError: no such dtype.
    """
    try:
        return np.dtype(name)
    except TypeError:
        extended = getattr(ml_dtypes, name, None)
        if not isinstance(extended, type):
            raise
        return np.dtype(extended)
