"""transformers on torch as a side: on a Hugging Face folder, in a process of its own.

Neither torch nor transformers is imported here: `parity.subjects.gemma.hf_process` is started to
run the model once, and leaves its frames in a temporary folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.numpy

from jaxformer.config import Config
from jaxformer.params import Params
from parity.arrays.metrics import Metrics, compare_arrays
from parity.errors import RequestError
from parity.program.stages import Scope, Stage
from parity.subjects.gemma.hf_process import CERTIFICATE, TRACE_FOLDER
from parity.trace.disk import load_trace
from parity.trace.frames import FrameSpec, Sink, Trace
from parity.trace.manifest import Manifest

INSTALL = "pip install -c constraints.txt -e '.[hf]'"
_PACKAGES = ("torch", "transformers")
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}

Progress = Callable[[str], None]


def _silent(message: str) -> None:
    del message


def hf_side(
    folder: Path,
    tokens: Sequence[Sequence[int]],
    manifest: Manifest,
    *,
    blocks: int,
    dtype: str,
    vocab_size: int,
    whole: bool = True,
    select: str = "*",
    certify: bool = False,
    progress: Progress = _silent,
) -> HfSide:
    """transformers' model in a Hugging Face folder, its attention eager; it runs on the CPU.

    Args:
      folder: with config.json and safetensors; of a multimodal model the text part is taken.
      tokens: [B][T]; 0 is padding.
      manifest: of the run; `source`, the packages' versions and the device are filled in.
      blocks: run only the first so many.
      dtype: `bfloat16` or `float32`; the folder's weights are cast to it.
      vocab_size: V, columns of the logits that are kept.
      whole: False where blocks were cut off: final norm and logits are then no taps.
      select: comma-separated glob patterns of the taps to record.
      certify: have the same process run again without taps, for `certify`.
      progress: is told what the process is doing.

    Raises:
      RequestError: torch or transformers is not installed.
    """
    try:
        versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        raise _not_installed(f"{error.name} is not there") from error
    manifest = dataclasses.replace(
        manifest,
        source=f"transformers {versions['transformers']}",
        numerics="default",
        versions={**manifest.versions, **versions},
        backend="cpu",
        device="cpu",
        xla_flags="",
    )
    request = {
        "folder": str(folder),
        "tokens": [list(map(int, row)) for row in tokens],
        "manifest": manifest.to_json(),
        "blocks": blocks,
        "dtype": dtype,
        "vocab_size": vocab_size,
        "whole": whole,
        "select": select,
        "certify": certify,
    }
    return HfSide(manifest, request, progress)


@contextlib.contextmanager
def hf_folder(params: Params, config: Config) -> Iterator[Path]:
    """A temporary Hugging Face folder of parameters, for weights that are in no such folder.

    Args:
      params: may hold fewer blocks than the config; the folder's config then has so many.

    Raises:
      RequestError: it can't be written.
    """
    from jaxformer.checkpoint.safetensors import save_safetensors
    from jaxformer.errors import UsageError

    cut = dataclasses.replace(config, layer_kinds=config.layer_kinds[: len(params.blocks)])
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        folder = Path(temporary) / "checkpoint"
        try:
            save_safetensors(params, cut, folder)
        except UsageError as error:
            raise RequestError(f"the reference's checkpoint: {error}") from error
        yield folder


class HfSide:
    """A Side; see `hf_side`. Each run is a process of its own.

    Attributes:
      notes: what the last run departs in from transformers as its users have it.
    """

    label = "transformers"
    unavailable: Mapping[str, str] = {}
    stages: Sequence[Stage] = ()

    def __init__(self, manifest: Manifest, request: dict[str, Any], progress: Progress) -> None:
        self.manifest = manifest
        self.notes: list[str] = []
        self._request = request
        self._progress = progress
        self._prepared: tuple[Trace, tempfile.TemporaryDirectory[str]] | None = None
        self._certificate: Metrics | None = None

    def prepare(self) -> Sequence[FrameSpec]:
        """Run; the frames wait on disk for `run`.

        Raises:
          RequestError: the process failed; one line says why.
        """
        self.release()
        folder = tempfile.TemporaryDirectory(prefix="parity-")
        try:
            trace = self._record(Path(folder.name))
        except BaseException:
            folder.cleanup()
            raise
        self._prepared = trace, folder
        return trace.specs

    def run(self, sink: Sink) -> None:
        if self._prepared is None:
            self.prepare()
        assert self._prepared is not None
        trace, folder = self._prepared
        self._prepared = None
        with folder:
            sink.begin(trace.specs)
            for frame in trace.frames():
                sink.put(frame)

    def injected(self, reference: Trace, scope: Scope, boundaries: Collection[str] = ()) -> None:
        """It runs elsewhere, on its own values alone."""

    def certify(self) -> Metrics:
        """The output with taps against that without, of one process."""
        if self._certificate is None:
            self._request["certify"] = True
            self.prepare()
            self.release()
        assert self._certificate is not None
        return self._certificate

    def release(self) -> None:
        if self._prepared is not None:
            self._prepared[1].cleanup()
            self._prepared = None

    def _record(self, folder: Path) -> Trace:
        request = folder / "request.json"
        request.write_text(json.dumps({**self._request, "out": str(folder)}))
        self.notes = []
        self._start(request, folder / "stderr")
        if self._request["certify"]:
            outputs = safetensors.numpy.load_file(folder / CERTIFICATE)
            self._certificate = compare_arrays(outputs["tapped"], outputs["untapped"])
        return load_trace(folder / TRACE_FOLDER)

    def _start(self, request: Path, complaints: Path) -> None:
        """Run the process to its end, passing on what it says.

        Raises:
          RequestError: it failed.
        """
        root = str(Path(__file__).parents[3])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        refusal = None
        with complaints.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "parity.subjects.gemma.hf_process", str(request)],
                stdin=subprocess.PIPE,  # closes with this process: then that one ends too
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": paths},
            )
            with process:
                assert process.stdout is not None
                try:
                    for line in process.stdout:
                        match json.loads(line):
                            case {"progress": text}:
                                self._progress(f"{self.label}: {text}")
                            case {"note": text}:
                                self.notes.append(text)
                            case {"missing": text}:
                                refusal = _not_installed(text)
                            case {"error": text}:
                                refusal = RequestError(f"--reference hf: {text}")
                    status = process.wait()
                finally:
                    process.kill()
        if status:
            raise refusal or _failure(status, complaints)


def _failure(status: int, complaints: Path) -> RequestError:
    """What can be said of a process that ended without a word."""
    if status == -signal.SIGKILL:
        return RequestError(
            "transformers was killed, most likely for want of memory: it needs room for a second "
            "copy of the weights; take fewer blocks, fewer tokens or --dtype bfloat16"
        )
    if status < 0:
        return RequestError(f"transformers was ended by signal {-status}")
    lines = complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return RequestError(f"transformers failed: {lines[-1] if lines else f'exit status {status}'}")


def _not_installed(reason: str) -> RequestError:
    return RequestError(
        f"--reference hf needs torch and transformers ({reason}); install them with: {INSTALL}"
    )
