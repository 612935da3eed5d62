"""Our side of Gemma, recorded the way that any function is."""

import numpy as np
from cases import small_case, tap_count

from parity.program.loops import hoisted
from parity.trace.frames import MemorySink
from parity.trace.manifest import Manifest
from parity.trace.recorder import compile_recording


def test_a_model_without_loops_is_the_same_to_the_bit_where_taps_are_hoisted() -> None:
    """The other dtype was looked at once: no bit of 83 frames differs there either."""
    case = small_case("float32")
    _, ours = case.sources()
    traces = []
    for fn in (ours.fn, hoisted(ours.fn)):
        sink = MemorySink()
        compile_recording(fn, *ours.args).run(*ours.args, sink=sink)
        traces.append(sink.trace(Manifest("test")))
    direct, through = traces
    assert [spec.name for spec in through.specs] == [spec.name for spec in direct.specs]
    assert len(through.specs) == tap_count(case.config.num_blocks, whole=True)
    for frame in through.frames():
        np.testing.assert_array_equal(frame.value, direct[frame.spec.name])
