"""What the bits of a dot product depend on, besides its operands."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from jaxformer.machine import cores, cpuinfo

# Prefixes of the names of instruction sets that compute with floats.
_ARITHMETIC = ("avx", "amx", "fma", "sse", "sve", "asimd", "neon")
_DECISIVE = ("processor", "features", "cores", "xla_flags", "jax", "jaxlib", "backend")


def machine() -> dict[str, Any]:
    """Processor, its instruction sets (where the system tells), cores, XLA's flags and versions."""
    from parity.sides.function import environment

    here = environment()
    return {
        "processor": platform.machine(),
        "features": _features(),
        "cores": cores(),
        "xla_flags": here["xla_flags"],
        "backend": here["backend"],
        **here["versions"],
    }


def same_bits_expected(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether XLA compiles the same program for both, so that every figure must be equal."""
    return all(one.get(name) == other.get(name) for name in _DECISIVE)


def _features() -> list[str]:
    said = cpuinfo()
    words = (said.get("flags") or said.get("features") or "").split()
    return sorted(word for word in words if word.startswith(_ARITHMETIC))
