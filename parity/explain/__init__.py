"""Root cause of a divergence: the operation and the line where two programs depart.

    from parity.explain import causes

    print(causes(ours, reference, x))      # any two callables of the same arguments

Names are imported when they are first used.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name not in ("causes", "explain", "Explanation", "Cause"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from parity.explain import explanation

    return getattr(explanation, name)


def __dir__() -> list[str]:
    return ["Cause", "Explanation", "causes", "explain"]
