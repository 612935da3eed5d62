"""Layer-by-layer parity debugging: where, and by how much, two computations depart.

    import parity

    def ours(x, *, tap):                     # any JAX function: name what you want to see
        hidden = tap("hidden", jnp.tanh(x))
        return hidden @ hidden.T

    print(parity.diff(ours, reference, x))   # where they differ, and whether rounding explains it
    print(parity.causes(ours, reference, x)) # the lines at which they depart

Names are imported when they are first used, so that `import parity` costs nothing.
"""

import importlib
from typing import Any

_HOMES = {
    "Comparison": "parity.verdict.comparison",
    "DiskSink": "parity.trace.disk",
    "Manifest": "parity.trace.manifest",
    "MemorySink": "parity.trace.frames",
    "RequestError": "parity.errors",
    "TapRecorder": "parity.trace.recorder",
    "Trace": "parity.trace.frames",
    "causes": "parity.explain.explanation",
    "compare_arrays": "parity.arrays.metrics",
    "compile_recording": "parity.trace.recorder",
    "diff": "parity.subjects.diffing",
    "diff_traces": "parity.verdict.diff",
    "load_trace": "parity.trace.disk",
    "record_trace": "parity.sides.recording",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
