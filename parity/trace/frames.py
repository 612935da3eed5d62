"""Traces: ordered frames of one run and the manifest that says what was run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ml_dtypes
import numpy as np


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


@dataclass(frozen=True)
class Manifest:
    """Where a trace comes from. A field that does not apply to the recorded function is None.

    Attributes:
      source: what ran, such as `jaxformer` or `gemma 3.3.0`.
      model, config, config_hash, blocks: what it computed.
      weights, weights_hash: a readable label and a digest of every parameter's bits.
      tokens: the input, [B][T].
      dtype: of the parameters.
      numerics: compilation mode, `default` or `strict`.
      versions, backend, device, xla_flags: the environment.
    """

    source: str
    model: str | None = None
    config: Mapping[str, Any] | None = None
    config_hash: str | None = None
    blocks: int | None = None
    weights: str | None = None
    weights_hash: str | None = None
    tokens: list[list[int]] | None = None
    dtype: str | None = None
    numerics: str = "default"
    versions: Mapping[str, str] = field(default_factory=dict)
    backend: str | None = None
    device: str | None = None
    xla_flags: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Inverse of `to_json`; keys of a later version are ignored.

        Raises:
          ValueError: `source` is missing.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(data.get("source"), str):
            raise ValueError("a manifest needs a 'source' string")
        return cls(**{key: value for key, value in data.items() if key in known})

    def conflicts(self, other: Manifest) -> list[str]:
        """Fields without whose agreement a comparison means nothing, where the two differ.

        A field that either side leaves out is not a conflict.
        """
        return [
            name
            for name in ("model", "blocks", "dtype", "tokens", "weights_hash")
            if None not in (mine := getattr(self, name), theirs := getattr(other, name))
            and mine != theirs
        ]

    def environment_differences(self, other: Manifest) -> list[str]:
        """Fields that may explain a difference, where the two differ."""
        names = ("numerics", "versions", "backend", "device", "xla_flags")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


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


def json_hash(data: object) -> str:
    """Digest of a JSON-like value, the same for equal values on every platform."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
