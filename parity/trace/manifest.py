"""What was run: the manifest of a trace, and digests of what a function was called with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

# Without whose agreement a comparison means nothing.
_DECISIVE = ("model", "blocks", "dtype", "tokens", "weights_hash", "inputs")


@dataclass(frozen=True)
class Manifest:
    """Where a trace comes from. A field that does not apply to the recorded function is None.

    Attributes:
      source: what ran, such as `jaxformer` or `gemma 3.3.0`.
      model, config, config_hash, blocks: what it computed.
      weights, weights_hash: a readable label and a digest of every parameter's bits.
      tokens: the input, [B][T].
      dtype: of the parameters.
      inputs: what the function was called with: by argument, its dtype, shape and digest.
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
    inputs: Mapping[str, str] | None = None
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
            for name in _DECISIVE
            if None not in (mine := getattr(self, name), theirs := getattr(other, name))
            and mine != theirs
        ]

    def environment_differences(self, other: Manifest) -> list[str]:
        """Fields that may explain a difference, where the two differ."""
        names = ("numerics", "versions", "backend", "device", "xla_flags")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def digest(array: Any) -> str:
    """Of an array's bits, in 16 hexadecimal digits; the same on every machine."""
    value = np.ascontiguousarray(np.asarray(array))
    return xxhash.xxh3_64_hexdigest(value.reshape(-1).view(np.uint8).data)


def json_hash(data: object) -> str:
    """Digest of a JSON-like value, the same for equal values on every platform."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
