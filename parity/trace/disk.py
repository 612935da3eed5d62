"""Traces on disk: a folder with `manifest.json` and safetensors shards.

    DIR/manifest.json               what was run, every frame that is expected, `complete`
    DIR/frames-00000.safetensors    frames in execution order, bfloat16 kept as bfloat16
    DIR/frames-00001.safetensors    …

A shard is written beside its place and renamed into it, and `complete` turns true only at the
end: a run that is killed leaves whole shards behind and is known to be partial. Names of shards
are numbered here; nothing that a trace contains ever becomes a path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from parity.errors import RequestError
from parity.trace.frames import Frame, FrameSpec, Trace, numpy_dtype
from parity.trace.manifest import Manifest

_FORMAT = "parity-trace"
_VERSION = 1
_SHARD_BYTES = 64 << 20


class DiskSink:
    """Writes a run into a new folder as it arrives, holding at most one shard in memory.

    Use as a context manager: leaving it without an exception marks the trace complete.

    Raises:
      RequestError: the folder exists and is not empty, or can't be written.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._specs: Sequence[FrameSpec] = ()
        self._shard: list[Frame] = []
        self._shard_bytes = 0
        self._written_shards = 0
        check_free(folder)

    def __enter__(self) -> DiskSink:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._flush()
        if kind is None:
            self._write_manifest(complete=True)

    def begin(self, specs: Sequence[FrameSpec]) -> None:
        self._specs = tuple(specs)
        self._write_manifest(complete=False)

    def put(self, frame: Frame) -> None:
        self._shard.append(frame)
        self._shard_bytes += frame.spec.nbytes
        if self._shard_bytes >= _SHARD_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._shard:
            return
        path = self._folder / _shard_name(self._written_shards)
        arrays = {frame.spec.name: frame.value for frame in self._shard}
        part = path.with_suffix(".part")
        try:
            safetensors.numpy.save_file(arrays, part)
            os.replace(part, path)
        except (OSError, safetensors.SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise _unwritable(self._folder, error) from error
        self._written_shards += 1
        self._shard, self._shard_bytes = [], 0

    def _write_manifest(self, *, complete: bool) -> None:
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "complete": complete,
            "manifest": self._manifest.to_json(),
            "frames": [[spec.name, list(spec.shape), spec.dtype] for spec in self._specs],
        }
        path = self._folder / "manifest.json"
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(document, indent=1))
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _unwritable(self._folder, error) from error


def check_free(folder: Path) -> None:
    """Make the folder of a trace to be.

    Raises:
      RequestError: it exists and is not empty, or can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from error
    if occupied:
        raise RequestError(f"{folder} {_contents(folder)}; name a new folder for the trace")


def load_trace(folder: str | Path, *, partial: bool = False) -> Trace:
    """Open a trace; frames are read from disk one by one, when asked for.

    Args:
      partial: accept a run that was cut short, and return the frames that it left.

    Raises:
      RequestError: not a trace, or a damaged one, or an incomplete one without `partial`.
    """
    folder = Path(folder)
    document = _read_manifest(folder)
    expected = [
        FrameSpec(index, name, tuple(shape), dtype)
        for index, (name, shape, dtype) in enumerate(document["frames"])
    ]
    shards: dict[str, Any] = {}
    for number in range(len(expected)):
        path = folder / _shard_name(number)
        if not path.exists():
            break
        try:
            shard = safetensors.safe_open(path, framework="np")
        except (OSError, safetensors.SafetensorError) as error:
            raise RequestError(
                f"{path} is truncated or damaged ({error}); record the trace again"
            ) from error
        shards.update(dict.fromkeys(shard.keys(), shard))
    present = [spec for spec in expected if spec.name in shards]
    for spec in present:
        _check_frame(folder, spec, shards[spec.name])
    if not partial and (not document["complete"] or len(present) < len(expected)):
        raise RequestError(
            f"{folder} is incomplete: {len(present)} of {len(expected)} frames; "
            "its run was cut short, record it again"
        )

    def read(spec: FrameSpec) -> np.ndarray:
        value: np.ndarray = shards[spec.name].get_tensor(spec.name)
        return value

    return Trace(Manifest.from_json(document["manifest"]), present, read)


def _check_frame(folder: Path, spec: FrameSpec, shard: Any) -> None:
    stored = shard.get_slice(spec.name)
    found = (tuple(stored.get_shape()), stored.get_dtype())
    if found != (spec.shape, _safetensors_dtype(spec.dtype)):
        raise RequestError(
            f"{folder}: frame {spec.name!r} is {found[1]}{list(found[0])} in its shard and "
            f"{spec.dtype}{list(spec.shape)} in manifest.json; record the trace again"
        )


def _safetensors_dtype(name: str) -> str:
    if name == "bool":
        return "BOOL"
    if name == "bfloat16":
        return "BF16"
    dtype = numpy_dtype(name)
    return f"{dtype.kind.upper()}{8 * dtype.itemsize}"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise RequestError(f"no trace folder {folder}; record one with python -m parity.record")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise RequestError(f"{folder} is not a trace: manifest.json: {reason}") from error
    except json.JSONDecodeError as error:
        raise RequestError(f"{path} is truncated or damaged ({error})") from error
    problem = _manifest_problem(document)
    if problem:
        raise RequestError(f"{folder} is not a trace of this version: {problem}")
    checked: dict[str, Any] = document
    return checked


def _manifest_problem(document: Any) -> str | None:
    """What keeps a parsed manifest.json from being one, or None."""
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        return f"manifest.json has no format {_FORMAT!r}"
    if document.get("version") != _VERSION:
        return f"its version is {document.get('version')!r}, expected {_VERSION}"
    if not isinstance(document.get("complete"), bool):
        return "'complete' must be true or false"
    frames = document.get("frames")
    if not isinstance(frames, list) or not all(map(_is_frame_entry, frames)):
        return "'frames' must list [name, shape, dtype] entries"
    if len({entry[0] for entry in frames}) < len(frames):
        return "a frame is listed twice"
    try:
        Manifest.from_json(document.get("manifest") or {})
    except (TypeError, ValueError, AttributeError) as error:
        return str(error)
    return None


def _is_frame_entry(entry: Any) -> bool:
    match entry:
        case [str(), [*sizes], str(dtype)]:
            try:
                numpy_dtype(dtype)
            except TypeError:
                return False
            return all(isinstance(size, int) and size >= 0 for size in sizes)
    return False


def _contents(folder: Path) -> str:
    """What a folder that is not empty holds, in words."""
    try:
        document = _read_manifest(folder)
        found = len(load_trace(folder, partial=True).specs)
    except RequestError:
        return "exists and is not empty"
    if document["complete"]:
        return "holds a trace"
    return f"holds a trace that was cut short, {found} of {len(document['frames'])} frames"


def _shard_name(number: int) -> str:
    return f"frames-{number:05d}.safetensors"


def _unwritable(folder: Path, error: Exception) -> RequestError:
    reason = getattr(error, "strerror", None) or error
    return RequestError(f"can't write the trace to {folder}: {reason}; name another folder")
