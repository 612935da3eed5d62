"""What the bits of a dot product depend on, besides its operands."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Prefixes of the names of instruction sets that compute with floats.
_ARITHMETIC = ("avx", "amx", "fma", "sse", "sve", "asimd", "neon")
_DECISIVE = ("processor", "features", "cores", "xla_flags", "jax", "jaxlib", "backend")


def machine() -> dict[str, Any]:
    """Processor, its instruction sets (where the system tells), cores, XLA's flags and versions."""
    from parity.sources.base import environment

    here = environment()
    return {
        "processor": platform.machine(),
        "features": _features(Path("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "xla_flags": here["xla_flags"],
        "backend": here["backend"],
        **here["versions"],
    }


def same_bits_expected(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether XLA compiles the same program for both, so that every figure must be equal."""
    return all(one.get(name) == other.get(name) for name in _DECISIVE)


def _features(cpuinfo: Path) -> list[str]:
    if not cpuinfo.exists():
        return []
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return sorted(word for word in value.split() if word.startswith(_ARITHMETIC))
    return []
