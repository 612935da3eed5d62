"""The recorder: order, accounting, and every way in which a frame can go astray."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.arrays.metrics import compare_arrays
from parity.errors import RequestError
from parity.sides.function import FunctionSide
from parity.sides.recording import record_trace
from parity.trace.frames import Frame, FrameSpec, MemorySink
from parity.trace.ledger import LedgerError, OrderedDelivery
from parity.trace.manifest import Manifest
from parity.trace.recorder import TapRecorder, compile_recording, run_untapped

X = jnp.asarray(np.random.default_rng(0).standard_normal((64, 64)), jnp.float32)


def chain(x, *, tap, steps=30):
    for i in range(steps):
        x = tap(f"step.{i}", jnp.tanh(x @ x))
    return x


def test_frames_come_in_execution_order_with_their_values() -> None:
    sink = MemorySink()
    output = compile_recording(chain, X).run(X, sink=sink)
    trace = sink.trace(Manifest("test"))
    assert [frame.spec.name for frame in trace.frames()] == [f"step.{i}" for i in range(30)]
    np.testing.assert_array_equal(trace["step.29"], output)
    np.testing.assert_allclose(trace["step.0"], np.tanh(np.asarray(X) @ np.asarray(X)), atol=1e-4)


def test_a_recording_runs_again_on_other_values() -> None:
    recording = compile_recording(chain, X)
    first, second = MemorySink(), MemorySink()
    recording.run(X, sink=first)
    recording.run(X + 1, sink=second)
    a, b = (sink.trace(Manifest("test"))["step.0"] for sink in (first, second))
    assert (a != b).any()


def test_frames_outlive_the_run() -> None:
    """A frame is a copy: XLA may reuse the buffer that the callback saw."""
    sink = MemorySink()
    recording = compile_recording(chain, X)
    recording.run(X, sink=sink)
    trace = sink.trace(Manifest("test"))
    kept = [frame.value.copy() for frame in trace.frames()]
    for _ in range(3):
        recording.run(X - 1, sink=MemorySink())
    for before, frame in zip(kept, trace.frames(), strict=True):
        np.testing.assert_array_equal(before, frame.value)


def test_filter_selects_by_glob() -> None:
    recording = compile_recording(chain, X, recorder=TapRecorder("step.1, step.2?"))
    names = [spec.name for spec in recording.specs]
    assert names == ["step.1", *(f"step.2{i}" for i in range(10))]
    assert [spec.index for spec in recording.specs] == list(range(11))


def test_a_filter_that_selects_nothing_is_refused_with_names_that_exist() -> None:
    with pytest.raises(RequestError, match=r"no tap .* it has 'step.0', 'step.1', 'step.2' and 27"):
        compile_recording(chain, X, recorder=TapRecorder("blocks.*"))


def test_a_tap_name_used_twice_is_an_error() -> None:
    def twice(x, *, tap):
        return tap("a", x) + tap("a", 2 * x)

    with pytest.raises(LedgerError, match="'a' was met twice"):
        compile_recording(twice, X)


def test_a_tap_inside_scan_is_found_doubled() -> None:
    def scanned(x, *, tap):
        return jax.lax.scan(lambda c, _: (tap("inside", jnp.tanh(c)), None), x, length=4)[0]

    with pytest.raises(LedgerError, match=r"'inside' arrived 4 times, expected once.*hoisted"):
        compile_recording(scanned, X).run(X, sink=MemorySink())


def test_a_tap_in_a_branch_not_taken_is_found_missing() -> None:
    def branched(x, *, tap):
        return jax.lax.cond(x[0, 0] > 1e9, lambda v: tap("never", v), lambda v: v, x)

    with pytest.raises(LedgerError, match=r"'never' never arrived.*route_of"):
        compile_recording(branched, X).run(X, sink=MemorySink())


class FailingSink(MemorySink):
    def put(self, frame: Frame) -> None:
        if frame.spec.index == 3:
            raise OSError("disk full")
        super().put(frame)


def test_a_failing_sink_ends_the_run_with_its_own_error() -> None:
    recording = compile_recording(chain, X)
    with pytest.raises(OSError, match="disk full"):
        recording.run(X, sink=FailingSink())
    recording.run(X, sink=MemorySink())  # and the recording is still usable


def test_frames_put_in_any_order_leave_in_order() -> None:
    specs = [FrameSpec(i, f"f{i}", (1,), "float32") for i in range(50)]
    sink = MemorySink()
    with OrderedDelivery(specs, sink) as delivery:
        threads = [
            threading.Thread(target=delivery.put, args=(i, 0, np.float32([i])))
            for i in np.random.default_rng(0).permutation(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    values = [float(frame.value[0]) for frame in sink.trace(Manifest("test")).frames()]
    assert values == list(range(50))


def test_a_large_frame_comes_in_pieces_and_leaves_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.trace.recorder._WHOLE_BYTES", 1000)
    monkeypatch.setattr(
        "parity.trace.recorder._PIECE_BYTES", 600
    )  # 64 x 64 float32: 28 pieces, one short
    sink = MemorySink()
    output = compile_recording(chain, X).run(X, sink=sink)
    trace = sink.trace(Manifest("test"))
    assert [frame.spec.name for frame in trace.frames()] == [f"step.{i}" for i in range(30)]
    np.testing.assert_array_equal(trace["step.29"], output)
    assert trace["step.3"].shape == (64, 64)
    monkeypatch.undo()
    np.testing.assert_array_equal(trace["step.3"], record_trace(chain, X)["step.3"])


def put_all(delivery: OrderedDelivery, starts: tuple[int, ...], piece: np.ndarray) -> None:
    for start in starts:
        delivery.put(0, start, piece)


def test_a_piece_that_is_missing_or_doubled_is_found() -> None:
    specs = [FrameSpec(0, "large", (4,), "float32")]
    half = np.zeros(2, np.float32)
    with (
        pytest.raises(LedgerError, match="'large' never arrived"),
        OrderedDelivery(specs, MemorySink()) as delivery,
    ):
        delivery.put(0, 0, half)
    with (
        pytest.raises(LedgerError, match="'large' arrived 2 times"),
        OrderedDelivery(specs, MemorySink()) as delivery,
    ):
        put_all(delivery, (0, 2, 2), half)


class ComparingSink(MemorySink):
    """Compares subnormal values, on whatever thread the recorder uses."""

    def put(self, frame: Frame) -> None:
        tiny = np.full(8, 1e-40, np.float32)
        self.result = compare_arrays(2 * tiny, tiny)


def test_sinks_do_not_run_where_denormals_are_flushed() -> None:
    """XLA's threads flush subnormals to zero; a comparison there would call these two equal."""
    sink = ComparingSink()
    compile_recording(chain, X, recorder=TapRecorder("step.0")).run(X, sink=sink)
    assert sink.result.max_abs > 0
    assert sink.result.mismatched == 8


def test_strict_numerics_round_every_operation() -> None:
    """In bfloat16 a fusion keeps excess precision by default; strict equals op-by-op evaluation."""

    def normed(x, *, tap):
        return tap("out", x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True)) * (1 + x))

    x = X.astype(jnp.bfloat16)
    op_by_op = normed(x, tap=lambda name, value: value)
    assert (run_untapped(normed, x, numerics="strict") == op_by_op).all()
    assert (run_untapped(normed, x) != op_by_op).any()


class PerturbingRecorder(TapRecorder):
    def __call__(self, name, value):
        return super().__call__(name, value) * 1.0078125


def source_of(fn) -> FunctionSide:
    return FunctionSide("ours", fn, (X,), Manifest("test"))


def test_certify_passes_for_taps_that_change_nothing() -> None:
    source = source_of(chain)
    source.run(MemorySink())
    certified = source.certify()
    assert (certified.mismatched, certified.size) == (0, X.size)


def test_certify_catches_a_tap_that_changes_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.sides.function.TapRecorder", PerturbingRecorder)
    source = source_of(chain)
    source.run(MemorySink())
    assert source.certify().mismatched > 0


def test_certify_before_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="run before certifying"):
        source_of(chain).certify()
