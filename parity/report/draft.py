"""Where a report is made: a hidden folder beside its place, which says how far its run has come.

    .NAME.XXXXXXXX/lock             held for as long as the run lives, however it ends
    .NAME.XXXXXXXX/progress.json    stage and frames, at most a second old
    .NAME.XXXXXXXX/report/          the new report, while it is written
    .NAME.XXXXXXXX/earlier/         the one that stood there, while the two change places

A run that is killed leaves its draft, which the next run beside it finds: it says how far that one
came and clears up. The lock, which the system lets go of with its process, tells the draft of a
killed run from that of a living one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock

from parity.report.exchange import exchanged

_FORMAT = "parity-report-draft"
_NAME = re.compile(r"\.(?P<target>.+)\.[a-z0-9_]{8}")
# How often the count of frames is written, in seconds; stages are written as they begin.
_INTERVAL = 0.5


class Draft:
    """The draft of one report.

    Attributes:
      report: the folder to write the report's files into.

    Raises:
      OSError: its parent can't be written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        self._lock = filelock.FileLock(self._folder / "lock")
        self.report = self._folder / "report"
        self._told = 0.0
        self._state: dict[str, Any] = {
            "format": _FORMAT,
            "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "stage": "starting",
            "frames": None,
            "complete": False,
        }
        try:
            self._lock.acquire()
            self.report.mkdir()
            self._tell()
        except BaseException:
            self._remove()
            raise

    def stage(self, name: str, *, complete: bool = False) -> None:
        """What is being done now; `complete` once every file of the report is written."""
        self._state.update(stage=name, frames=None, complete=complete)
        self._tell_if_possible()

    def frames(self, done: int, expected: int) -> None:
        """How many frames of the stage have arrived."""
        self._state["frames"] = [done, expected]
        if time.monotonic() - self._told > _INTERVAL:
            self._tell_if_possible()

    def put_in_place(self) -> None:
        """The finished report takes its place; one that stood there goes.

        Where the system can't exchange two folders at once, they change places in two steps. What
        is stopped between them is finished by `close`, or by the next run.

        Raises:
          OSError: it can't be renamed; then what stood there stands there.
        """
        self._state.update(stage="putting the report in its place", frames=None, complete=True)
        self._tell()
        earlier = self._folder / "earlier"
        if self._target.exists():
            if exchanged(self.report, self._target):
                self.report.rename(earlier)
                return
            self._target.rename(earlier)
        try:
            self.report.rename(self._target)
        except OSError:
            if earlier.exists():
                earlier.rename(self._target)
            raise

    def close(self) -> None:
        """Clear up; what was interrupted while the two changed places is finished first."""
        earlier = self._folder / "earlier"
        with contextlib.suppress(OSError):
            if earlier.exists():
                _fill(self._target, self.report, earlier)
        if earlier.exists() and not self._target.exists():
            self._lock.release()  # it can't be put back now: better kept here than lost
            return
        self._remove()

    def _tell_if_possible(self) -> None:
        # A disk that is full now need not be when the report is written.
        with contextlib.suppress(OSError):
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        path = self._folder / "progress.json"
        path.with_suffix(".part").write_text(json.dumps(self._state) + "\n", encoding="utf-8")
        os.replace(path.with_suffix(".part"), path)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()


def clear_up(parent: Path, say: Callable[[str], None]) -> None:
    """Find drafts that killed runs left in a folder; say how far each came, and remove it.

    A report that was complete, and stopped short of its place, is put there. Drafts of living runs,
    and what can't be read or locked, are left alone.
    """
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        name = _NAME.fullmatch(folder.name)
        if name is None or folder.is_symlink() or not (folder / "lock").is_file():
            continue
        lock = filelock.FileLock(folder / "lock")
        with contextlib.suppress(OSError, NotImplementedError), lock.acquire(timeout=0):
            state = _read(folder / "progress.json")
            if state is not None:
                message = _settle(folder, parent / name["target"], state)
                shutil.rmtree(folder, ignore_errors=True)
                if message:
                    say(message)


def _settle(folder: Path, target: Path, state: dict[str, Any]) -> str:
    """Bring a dead run's report into place if it was complete; what to say of that run."""
    report = folder / "report"
    outcome = "its draft is removed"
    if state.get("complete"):
        if not report.exists():
            return ""  # it was in its place already
        if _fill(target, report, folder / "earlier") == report:
            outcome = "its report was complete and is in its place now"
    frames = state.get("frames")
    came = ""
    if isinstance(frames, list) and len(frames) == 2:
        came = f", after {_shown(frames[0])} of {_shown(frames[1])} taps"
    return (
        f"an earlier run for {target}, started {_shown(state.get('started'))}, was stopped at "
        f"'{_shown(state.get('stage'))}'{came}; {outcome}"
    )


def _fill(target: Path, *folders: Path) -> Path | None:
    """Rename the first of the folders that exists to a target that doesn't; returns which."""
    for folder in folders:
        if folder.exists() and not target.exists():
            folder.rename(target)
            return folder
    return None


def _shown(value: object) -> str:
    """What a progress.json says, as one line of plain characters."""
    return "".join(c if c.isprintable() else "?" for c in str(value))[:200]


def _read(path: Path) -> dict[str, Any] | None:
    """The state in a progress.json; None if it isn't one."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and state.get("format") == _FORMAT else None
