"""Traces on disk: exact, partial after a kill, and refused when damaged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from parity.errors import RequestError
from parity.trace import disk as storage
from parity.trace.disk import DiskSink, load_trace
from parity.trace.frames import Frame, FrameSpec
from parity.trace.manifest import Manifest

MANIFEST = Manifest("test", model="m", tokens=[[2, 5]], dtype="bfloat16")
ARRAYS = {
    "embed": np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16),
    "../../<script>alert(1)</script>": np.float32([1.5, -0.0]),
    "scalar": np.array(3, np.int32),
    "empty": np.zeros((0, 4), np.float16),
    "mask": np.array([True, False]),
    "double": np.float64([1e-300]),
}


def write(folder: Path, arrays: dict[str, np.ndarray] = ARRAYS, stop_after: int | None = None):
    specs = [FrameSpec(i, n, a.shape, str(a.dtype)) for i, (n, a) in enumerate(arrays.items())]
    with DiskSink(folder, MANIFEST) as sink:
        sink.begin(specs)
        for spec in specs[:stop_after]:
            sink.put(Frame(spec, arrays[spec.name]))
        if stop_after is not None:
            raise KeyboardInterrupt


def test_a_trace_comes_back_bit_for_bit_in_order(tmp_path: Path) -> None:
    write(tmp_path / "t")
    trace = load_trace(tmp_path / "t")
    assert trace.manifest == MANIFEST
    assert [frame.spec.name for frame in trace.frames()] == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert trace[name].dtype == array.dtype
        assert trace[name].shape == array.shape
        assert trace[name].tobytes() == array.tobytes()


def test_a_folder_may_be_named_by_its_text(tmp_path: Path) -> None:
    write(tmp_path / "t")
    assert [spec.name for spec in load_trace(str(tmp_path / "t")).specs] == list(ARRAYS)


def test_tap_names_never_become_paths(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "t")
    assert sorted(os.listdir(tmp_path / "a" / "b" / "t")) == [
        "frames-00000.safetensors",
        "manifest.json",
    ]
    assert sorted(os.listdir(tmp_path)) == ["a"]


def test_large_traces_are_cut_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_SHARD_BYTES", 4)
    write(tmp_path / "t")
    assert len(list((tmp_path / "t").glob("*.safetensors"))) == 4
    assert [frame.spec.name for frame in load_trace(tmp_path / "t").frames()] == list(ARRAYS)


def test_an_interrupted_run_leaves_readable_frames_and_is_refused_as_whole(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "t", stop_after=2)
    with pytest.raises(RequestError, match=r"incomplete: 2 of 6 frames"):
        load_trace(tmp_path / "t")
    partial = load_trace(tmp_path / "t", partial=True)
    assert [frame.spec.name for frame in partial.frames()] == list(ARRAYS)[:2]


KILLED = """
import sys, time, numpy as np
from pathlib import Path
from parity.trace import disk as storage
from parity.trace.frames import Frame, FrameSpec
from parity.trace.manifest import Manifest
storage._SHARD_BYTES = 1 << 16
specs = [FrameSpec(i, f"f{i}", (1 << 14,), "float32") for i in range(10_000)]
with storage.DiskSink(Path(sys.argv[1]), Manifest("test")) as sink:
    sink.begin(specs)
    for spec in specs:
        sink.put(Frame(spec, np.full(1 << 14, spec.index, np.float32)))
        if spec.index == 20:
            print("go", flush=True)
"""


def test_a_killed_run_leaves_whole_frames(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "t")], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with pytest.raises(RequestError, match="incomplete"):
        load_trace(tmp_path / "t")
    frames = list(load_trace(tmp_path / "t", partial=True).frames())
    assert len(frames) >= 20
    for i, frame in enumerate(frames):
        assert frame.spec.name == f"f{i}"
        assert set(np.unique(frame.value)) == {i}


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(RequestError, match="exists and is not empty; name a new folder"):
        DiskSink(tmp_path, MANIFEST)
    assert os.listdir(tmp_path) == ["precious"]


def test_a_folder_with_a_trace_is_refused_by_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    with pytest.raises(RequestError, match="whole holds a trace; name a new folder"):
        DiskSink(tmp_path / "whole", MANIFEST)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "cut", stop_after=2)
    with pytest.raises(RequestError, match="cut holds a trace that was cut short, 2 of 6 frames;"):
        DiskSink(tmp_path / "cut", MANIFEST)


def test_a_shard_that_cannot_be_written_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(arrays: object, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full_disk)
    with pytest.raises(RequestError, match="No space left on device; name another folder"):
        write(tmp_path / "t")
    assert os.listdir(tmp_path / "t") == ["manifest.json"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x")
    with pytest.raises(RequestError, match="can't write the trace to"):
        DiskSink(tmp_path / "t", MANIFEST)


def test_a_missing_folder_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no trace folder"):
        load_trace(tmp_path / "nothing")


def test_a_folder_without_manifest_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"is not a trace: manifest.json: No such file"):
        load_trace(tmp_path)


def edit_manifest(folder: Path, **changes: object) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**document, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "zip"}, "no format 'parity-trace'"),
        ({"version": 7}, "its version is 7, expected 1"),
        ({"complete": "yes"}, "'complete' must be true or false"),
        ({"frames": {"a": 1}}, "'frames' must list"),
        ({"frames": [["a", [-1], "float32"]]}, "'frames' must list"),
        ({"frames": [["a", [1], "float33"]]}, "'frames' must list"),
        ({"frames": [["a", [1], "dtype"]]}, "'frames' must list"),
        ({"frames": [["a", [1], "float32"]] * 2}, "a frame is listed twice"),
        ({"manifest": {}}, "a manifest needs a 'source'"),
        ({"manifest": [1]}, "not a trace of this version"),
        ({"frames": [["embed", [2, 3], "float32"]]}, "record the trace again"),
        ({"frames": [["embed", [3, 2], "bfloat16"]]}, "record the trace again"),
        ({"frames": [["other", [3, 2], "bfloat16"]]}, "incomplete: 0 of 1"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    write(tmp_path / "t", {"embed": ARRAYS["embed"]})
    edit_manifest(tmp_path / "t", **changes)
    with pytest.raises(RequestError, match=message):
        load_trace(tmp_path / "t")


@pytest.mark.parametrize("keep", [0, 5, 40, -3])
def test_a_truncated_shard_is_refused(tmp_path: Path, keep: int) -> None:
    write(tmp_path / "t")
    shard = tmp_path / "t" / "frames-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(RequestError, match=r"truncated or damaged .*record the trace again"):
        load_trace(tmp_path / "t")


def test_a_truncated_manifest_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t")
    text = (tmp_path / "t" / "manifest.json").read_text()
    (tmp_path / "t" / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(RequestError, match="truncated or damaged"):
        load_trace(tmp_path / "t")
