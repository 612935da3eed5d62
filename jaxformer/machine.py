"""The machine that this runs on, and where what was measured or compiled for it is kept."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_TUNABLES = "GLIBC_TUNABLES"
_CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, str | int]:
    """What decides how fast a compiled program runs: processor or device, cores, JAX's version."""
    import jax

    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": cores(),
        "backend": device.platform,
        "device": device.device_kind,
        "jax": jax.__version__,
    }


def cores() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def cpuinfo() -> dict[str, str]:
    """What Linux says of its first processor, names in small letters; empty elsewhere."""
    said: dict[str, str] = {}
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            said.setdefault(name.strip().lower(), value.strip())
    return said


def cache_folder() -> Path:
    """`$JAXFORMER_CACHE`, or the user's cache folder for this program; it need not exist."""
    named = os.environ.get("JAXFORMER_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxformer"


def keep_compiled() -> None:
    """Keep compiled programs for the next process, unless JAX was told where already.

    For commands: it changes JAX's configuration.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))


def with_huge_pages() -> None:
    """Start this command anew with memory in huge pages, where glibc can; for `__main__` alone.

    A prefill of 512 tokens is a tenth faster so: every block's intermediates are new memory. Glibc
    reads its settings when a process starts; whoever set any is left alone.
    """
    if sys.platform == "linux" and _TUNABLES not in os.environ:
        os.environ[_TUNABLES] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _processor() -> str:
    """Model and instruction sets, where the system tells: virtual machines of one name differ."""
    said = cpuinfo()
    if not said:
        return platform.processor() or platform.machine()
    vectors = [w for w in said.get("flags", "").split() if w.startswith(("avx", "amx"))]
    return " ".join([said.get("model name", platform.machine()), *sorted(vectors)])
