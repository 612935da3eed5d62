"""Traces against traces: statuses, the first divergence, and what is never called equal."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.sides.recording import record_trace
from parity.trace.frames import FrameSpec, MemorySink, Trace
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column, Comparison, TapDiff
from parity.verdict.diff import DiffSink, diff_arrays, diff_traces


def trace(manifest: Manifest | None = None, **arrays: np.ndarray) -> Trace:
    manifest = manifest or Manifest("test")
    specs = [FrameSpec(i, n, a.shape, str(a.dtype)) for i, (n, a) in enumerate(arrays.items())]
    return Trace(manifest, specs, lambda spec: arrays[spec.name])


ONE, TWO = np.float32([1, 2]), np.float32([1, 3])


def test_statuses_say_what_happened() -> None:
    reference = trace(
        same=ONE, other=ONE, nan=ONE, shape=ONE, dtype=ONE, gone=ONE, **{"blocks.3.output": ONE}
    )
    ours = trace(
        same=ONE.copy(),
        other=TWO,
        nan=np.float32([1, np.nan]),
        shape=ONE[:1],
        dtype=ONE.astype(np.float64),
        extra=ONE,
    )
    column = diff_traces(ours, reference)
    assert {tap.tap: tap.status for tap in column.taps} == {
        "same": "identical",
        "other": "unjudged",
        "nan": "nonfinite",
        "shape": "shape",
        "dtype": "dtype",
        "extra": "not_compared",
        "gone": "missing",
        "blocks.3.output": "missing",
    }
    assert column.compared == 3
    assert column.tap("shape") == TapDiff("shape", "shape", "expected [2], got [1]")


def test_the_first_divergence_is_the_first_in_execution_order() -> None:
    column = diff_traces(trace(a=ONE, c=TWO, b=TWO), trace(a=ONE, b=ONE, c=ONE))
    assert column.first_divergence is not None
    assert column.first_divergence.tap == "c"


def test_a_missing_tap_breaks_parity() -> None:
    column = diff_traces(trace(a=ONE), trace(a=ONE, b=ONE))
    assert column.first_divergence is not None
    assert column.first_divergence.status == "missing"


def test_what_was_not_compared_is_not_called_equal() -> None:
    sink = DiffSink(trace(a=ONE), {"rope": "not a module output"})
    for frame in trace(a=ONE, rope=ONE).frames():
        sink.put(frame)
    column = sink.column("ours")
    assert column.tap("rope") == TapDiff("rope", "not_compared", "not a module output")
    assert column.compared == 1
    assert column.first_divergence is None


def test_parity_needs_something_compared() -> None:
    nothing = Column("ours", {}, [TapDiff("a", "not_compared", "why")])
    assert not Comparison({}, [nothing]).holds
    assert not Comparison({}, [Column("ours", {}, [])]).holds


def test_traces_without_a_common_tap_are_refused() -> None:
    with pytest.raises(RequestError, match="no tap in common"):
        diff_traces(trace(b=ONE), trace(a=ONE))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", [[2, 9]]),
        ("weights_hash", "other"),
        ("model", "gemma3-4b"),
        ("dtype", "float32"),
        ("blocks", 3),
    ],
)
def test_runs_of_other_things_are_refused_by_name(field: str, value: object) -> None:
    base = {"tokens": [[2, 5]], "weights_hash": "x", "model": "m", "dtype": "bfloat16", "blocks": 2}
    with pytest.raises(RequestError, match=rf"can't be compared, the reference differs in {field}"):
        diff_traces(
            trace(Manifest("b", **{**base, field: value}), a=ONE),
            trace(Manifest("a", **base), a=ONE),
        )


def test_any_jax_function_can_be_compared() -> None:
    def ours(x, *, tap):
        return tap("out", tap("hidden", jnp.tanh(x)) * 2)

    def reference(x, *, tap):
        return tap("out", tap("hidden", jnp.tanh(x)) * 2.5)

    x = jnp.arange(4.0)
    column = diff_traces(record_trace(ours, x), record_trace(reference, x))
    assert column.first_divergence is not None
    assert column.first_divergence.tap == "out"
    assert column.first_divergence.metrics is not None
    assert column.first_divergence.metrics.mismatched == 3


def comparison() -> Comparison:
    reference = trace(**{"blocks.0.output": ONE, "logits": ONE})
    nan = trace(**{"blocks.0.output": ONE, "logits": np.float32([np.inf, np.nan])})
    columns = [diff_traces(reference, reference), diff_traces(nan, reference, "nan", {"f": 1.0})]
    return Comparison({"model": "m"}, columns)


def test_json_is_schema_1_without_nan() -> None:
    document = json.loads(json.dumps(comparison().to_json(), allow_nan=False))
    assert document["schema"] == 1
    assert document["manifest"] == {"model": "m"}
    ours, nan = document["columns"]
    assert (ours["name"], ours["fields"], ours["first_divergence"]) == ("ours", {}, None)
    assert (nan["fields"], nan["first_divergence"]) == ({"f": 1.0}, "logits")
    row = ours["taps"][0]
    assert {key: row[key] for key in ("index", "tap", "block", "status", "mismatched", "size")} == {
        "index": 0,
        "tap": "blocks.0.output",
        "block": 0,
        "status": "identical",
        "mismatched": 0,
        "size": 2,
    }
    assert (row["max_abs"], row["max_ulp"]) == (0.0, 0)
    assert nan["taps"][1]["status"] == "nonfinite"


def test_the_tidy_table_has_a_row_per_column_and_tap() -> None:
    frame = comparison().to_frame()
    assert frame[["column", "tap", "status", "mismatched"]].values.tolist() == [
        ["ours", "blocks.0.output", "identical", 0],
        ["ours", "logits", "identical", 0],
        ["nan", "blocks.0.output", "identical", 0],
        ["nan", "logits", "nonfinite", 2],
    ]
    assert frame["block"].isna().tolist() == [False, True, False, True]


def test_identical_pairs_have_no_noise() -> None:
    metrics = diff_arrays("a", ONE.copy(), ONE).metrics
    assert metrics is not None
    assert (metrics.cosine, metrics.snr_db) == (1.0, None)
    assert math.isclose(metrics.max_abs, 0.0)


def test_a_memory_trace_reads_by_name_and_in_order() -> None:
    sink = MemorySink()
    sink.begin([])
    for frame in trace(b=ONE, a=TWO).frames():
        sink.put(frame)
    kept = sink.trace(Manifest("test"))
    assert [frame.spec.name for frame in kept.frames()] == ["b", "a"]
    assert "a" in kept
    assert "c" not in kept
    assert kept.nbytes == 16
    np.testing.assert_array_equal(kept["a"], TWO)
