"""Two folders change places in one step, where the system can."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

# Linux: paths are relative to the working folder; the two are exchanged (renameat2(2)).
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchanged(one: Path, other: Path) -> bool:
    """Whether the two have changed places; False where system or file system can't, and as before.

    Python has no such call of its own: `os.rename` refuses a folder that holds something.
    """
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # not in every C library
    if rename is None:
        return False
    paths = [os.fsencode(path) for path in (one, other)]
    return rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
