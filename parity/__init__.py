"""Layer-by-layer parity debugging: where, and by how much, two computations depart.

    import parity

    def f(x, *, tap):                        # any JAX function: name what you want to see
        h = tap("hidden", jnp.tanh(x))
        return tap("out", h @ h.T)

    reference = parity.record_trace(f_reference, x)
    ours = parity.record_trace(f, x)
    column = parity.diff_traces(reference, ours)
    print(column.first_divergence)

Names are imported when they are first used, so that `import parity` costs nothing.
"""

import importlib
from typing import Any

_HOMES = {
    "Comparison": "parity.comparison",
    "DiskSink": "parity.storage",
    "Manifest": "parity.trace",
    "MemorySink": "parity.trace",
    "RequestError": "parity.errors",
    "TapRecorder": "parity.record",
    "Trace": "parity.trace",
    "compare_arrays": "parity.metrics",
    "compile_recording": "parity.record",
    "diff_traces": "parity.diff",
    "load_trace": "parity.storage",
    "record_trace": "parity.record",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
