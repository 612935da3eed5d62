"""Taps inside loops, branches and transformations: a frame each time, at its own place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.errors import RequestError
from parity.program.bounds import Bounds
from parity.program.loops import hoisted, route_of
from parity.program.oracle import Oracle, collecting
from parity.program.stages import Stage
from parity.sides.staged import StagedSide
from parity.trace.frames import MemorySink, Trace
from parity.trace.ledger import LedgerError
from parity.trace.manifest import Manifest
from parity.trace.recorder import TapRecorder, compile_recording, run_untapped
from parity.trace.tap import InjectingTap

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((3, 16)), jnp.float32)
W = jnp.asarray(RNG.standard_normal((4, 16, 16)) / 4, jnp.float32)


STEPS = [f"layers[{i}].{name}" for i in range(4) for name in ("hidden", "out")]


def recorded(fn, *args, select: str = "*") -> tuple[object, Trace]:
    """Output and trace of a recorded run, along the route of the same inputs."""
    sink = MemorySink()
    recording = compile_recording(
        hoisted(fn, route_of(fn, *args)), *args, recorder=TapRecorder(select)
    )
    return recording.run(*args, sink=sink), sink.trace(Manifest("test"))


def names(trace: Trace) -> list[str]:
    return [spec.name for spec in trace.specs]


def layer(x, w, *, tap):
    h = tap("layers.hidden", jnp.tanh(x @ w))
    return tap("layers.out", x + h)


def scanned(x, weights, *, tap):
    x, _ = jax.lax.scan(lambda x, w: (layer(x, w, tap=tap), None), x, weights)
    return tap("final", 2 * x)


def unrolled(x, weights) -> dict[str, np.ndarray]:
    """What each layer makes, on its own, jitted as a scan's body is."""
    frames = {}
    step = jax.jit(lambda x, w: collecting(layer)(x, w))
    for i, w in enumerate(weights):
        x, taps = step(x, w)
        frames |= {name.replace("layers", f"layers[{i}]"): v for name, v in taps.items()}
    return frames | {"final": 2 * x}


def test_a_scan_yields_a_frame_per_iteration_in_execution_order() -> None:
    _, trace = recorded(scanned, X, W)
    assert names(trace) == [*STEPS, "final"]
    expected = unrolled(X, W)
    for frame in trace.frames():
        np.testing.assert_allclose(frame.value, expected[frame.spec.name], atol=1e-6)


def test_a_reversed_scan_runs_its_last_index_first() -> None:
    def fn(x, rows, *, tap):
        return jax.lax.scan(lambda c, row: (tap("sum", c + row), None), x, rows, reverse=True)[0]

    _, trace = recorded(fn, jnp.zeros(2), jnp.asarray([[1.0, 2], [10, 20], [100, 200]]))
    assert names(trace) == ["sum[2]", "sum[1]", "sum[0]"]
    assert [frame.value[0] for frame in trace.frames()] == [100, 110, 111]


def test_nested_scans_have_an_index_each() -> None:
    def fn(x, *, tap):
        def inner(c, j):
            return tap("outer.inner.sum", c + j), None

        def outer(c, i):
            c = tap("outer.start", c * 10 + i)
            return jax.lax.scan(inner, c, jnp.arange(2.0))[0], None

        return jax.lax.scan(outer, x, jnp.arange(3.0))[0]

    _, trace = recorded(fn, jnp.float32(1))
    expected, c = {}, 1.0
    for i in range(3):
        c = expected[f"outer[{i}].start"] = c * 10 + i
        for j in range(2):
            c = expected[f"outer[{i}].inner[{j}].sum"] = c + j
    assert {frame.spec.name: float(frame.value) for frame in trace.frames()} == expected
    assert names(trace) == list(expected)


@pytest.mark.optimised
def test_outputs_of_a_scan_that_it_had_already_are_kept() -> None:
    def fn(x, rows, *, tap):
        def body(c, row):
            return c + row, {"double": tap("row", 2 * row), "count": c}

        return jax.lax.scan(body, x, rows)

    args = (jnp.zeros(16), X)
    output, _ = recorded(fn, *args)
    jax.tree.map(np.testing.assert_array_equal, output, run_untapped(fn, *args))


def test_a_fori_loop_counts_from_zero() -> None:
    def fn(x, *, tap):
        return jax.lax.fori_loop(2, 5, lambda i, x: tap("i.product", x * i), x)

    _, trace = recorded(fn, jnp.float32(1))
    frames = {frame.spec.name: float(frame.value) for frame in trace.frames()}
    assert frames == {"i[0].product": 2, "i[1].product": 6, "i[2].product": 24}


def newton(x, *, tap):
    """Square roots; how many iterations there are depends on the numbers."""

    def step(y):
        return tap("root", 0.5 * (y + x / y))

    return jax.lax.while_loop(lambda y: jnp.abs(y * y - x).max() > 1e-3, step, x)


def test_a_while_loop_yields_as_many_frames_as_it_runs() -> None:
    x = jnp.asarray([4.0, 9.0])
    output, trace = recorded(newton, x)
    assert names(trace) == [f"root[{i}]" for i in range(4)]
    y = np.asarray(x)
    for frame in trace.frames():
        y = 0.5 * (y + np.asarray(x) / y)
        np.testing.assert_allclose(frame.value, y, rtol=1e-6)
    np.testing.assert_array_equal(output, trace["root[3]"])


def test_a_while_loop_that_does_not_run_yields_none() -> None:
    def fn(x, *, tap):
        return tap("out", newton(x, tap=tap))

    assert names(recorded(fn, jnp.ones(2))[1]) == ["out"]


def ragged(n, *, tap):
    """Three kinds of control flow in one another: inner loops of 1, 2, … iterations."""

    def outer(carry):
        i, x = carry
        x = jax.lax.cond(
            i % 2 == 0,
            lambda x: tap("even", x + 100),
            lambda x: 2 * tap("odd", x - 1),
            x,
        )
        x = jax.lax.fori_loop(0, i, lambda j, x: tap("outer.inner.sum", x + j), x)
        return i + 1, x

    return jax.lax.while_loop(lambda c: c[0] < n, outer, (1, jnp.int32(0)))[1]


def test_loops_in_loops_and_branches_in_loops_yield_what_was_run() -> None:
    output, trace = recorded(ragged, 4)
    expected, x = {}, 0
    for index, i in enumerate(range(1, 4)):
        if i % 2 == 0:
            x = expected[f"even[{index}]"] = x + 100
        else:
            expected[f"odd[{index}]"] = x - 1
            x = 2 * (x - 1)
        for j in range(i):
            x = expected[f"outer[{index}].inner[{j}].sum"] = x + j
    assert {frame.spec.name: int(frame.value) for frame in trace.frames()} == expected
    assert names(trace) == list(expected)
    assert output == x


def test_a_loop_whose_length_only_a_run_can_tell_needs_a_route() -> None:
    message = "'root': only a run can tell how many iterations.*route_of"
    with pytest.raises(RequestError, match=message):
        compile_recording(hoisted(newton), jnp.ones(2))


def test_a_branch_needs_a_route() -> None:
    with pytest.raises(RequestError, match=r"only a run can tell which branch.*route_of"):
        compile_recording(hoisted(branching), X)


def test_a_run_that_goes_another_way_than_its_route_is_found_out() -> None:
    x = jnp.asarray([4.0, 9.0])
    recording = compile_recording(hoisted(newton, route_of(newton, x)), x)
    recording.run(x, sink=MemorySink())
    with pytest.raises(LedgerError, match="took another way"):
        recording.run(100 * x, sink=MemorySink())
    recording.run(x, sink=MemorySink())  # and it can be used again


def test_an_iteration_that_was_not_run_is_nan() -> None:
    many, few = jnp.asarray([400.0, 900.0]), jnp.asarray([4.0, 9.0])
    _, taps = collecting(hoisted(newton, route_of(newton, many)))(few)
    assert len(taps) > 4
    assert [bool(jnp.isnan(value).any()) for value in taps.values()][:5] == [False] * 4 + [True]


def counted(n, *, tap):
    return jax.lax.fori_loop(0, n, lambda _, x: tap("x", x + 1), jnp.float32(0))


def test_iterations_that_a_route_has_not_got_leave_those_before_alone() -> None:
    """Neither what they make nor what is injected before them goes astray."""
    fn = hoisted(counted, route_of(counted, 2))
    output, taps = collecting(fn)(4)
    assert {name: float(value) for name, value in taps.items()} == {"x[0]": 1, "x[1]": 2}
    assert output == 4
    given = {"x[0]": jnp.float32(10), "x[1]": jnp.float32(100)}
    assert fn(4, tap=InjectingTap(lambda _, value: value, given)) == 102


def test_loops_in_branches_have_routes_of_their_own() -> None:
    def fn(n, *, tap):
        def loop(name, n):
            return lambda x: jax.lax.fori_loop(0, n, lambda _, x: tap(f"{name}.x", x + 1), x)

        def body(x, i):
            return jax.lax.cond(i == 0, loop("first", n), loop("second", n + 1), x), None

        return jax.lax.scan(body, 0, jnp.arange(2))[0]

    steps = ["first[0].x[0]", "second[1].x[0]", "second[1].x[1]"]
    output, trace = recorded(fn, 1)
    assert names(trace) == steps
    assert [int(frame.value) for frame in trace.frames()] == [1, 2, 3]
    assert output == 3


def branching(x, *, tap):
    return jax.lax.cond(x.sum() > 0, lambda x: tap("up", x + 1), lambda x: tap("down", x - 1), x)


@pytest.mark.parametrize(("x", "name"), [(1.0, "up"), (-1.0, "down")])
def test_only_the_branch_that_is_taken_yields_frames(x: float, name: str) -> None:
    output, trace = recorded(branching, jnp.full(3, x))
    assert names(trace) == [name]
    np.testing.assert_array_equal(trace[name], 2 * np.full(3, x))
    np.testing.assert_array_equal(output, trace[name])


def test_a_function_that_needs_no_route_is_not_run_for_one() -> None:
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (X, W)]
    assert route_of(scanned, *shapes).numbers == {}


@functools.partial(jax.jit, static_argnames=("name", "tap"))
def helper(x, w, *, name, tap):
    return tap(name, jnp.tanh(x @ w))


def test_jitted_helpers_are_entered() -> None:
    def fn(x, weights, *, tap):
        for i, w in enumerate(weights):
            x = helper(x, w, name=f"layer.{i}", tap=tap)
        return x

    for _ in range(2):  # the second time, helpers are not traced again
        output, trace = recorded(fn, X, W)
        assert names(trace) == [f"layer.{i}" for i in range(4)]
        np.testing.assert_array_equal(output, trace["layer.3"])


def test_a_helper_called_twice_under_one_name_is_an_error() -> None:
    def fn(x, weights, *, tap):
        return helper(helper(x, weights[0], name="h", tap=tap), weights[1], name="h", tap=tap)

    with pytest.raises(LedgerError, match="'h' was met twice"):
        recorded(fn, X, W)


def test_two_loops_under_one_name_are_an_error() -> None:
    def fn(x, weights, *, tap):
        return scanned(scanned(x, weights, tap=tap), weights, tap=tap)

    with pytest.raises(LedgerError, match=r"'layers\[0\].hidden' was met twice"):
        recorded(fn, X, W)


def test_remat_is_entered_inside_a_scan_too() -> None:
    def fn(x, weights, *, tap):
        body = jax.checkpoint(lambda x, w: (layer(x, w, tap=tap), None))
        return jax.lax.scan(body, x, weights)[0]

    _, trace = recorded(fn, X, W)
    assert names(trace) == STEPS
    assert different(trace, reference("float32")[1]) == []


def test_a_training_step_shows_its_forward_pass_once() -> None:
    """Under `jax.checkpoint` the backward pass computes the values a second time."""

    def step(x, weights, *, tap):
        @jax.checkpoint
        def body(x, w):
            return x + jnp.sin(tap("layers.in", x @ w)), None

        def loss(weights):
            return tap("loss", jnp.sum(jax.lax.scan(body, x, weights)[0] ** 2))

        return jax.value_and_grad(loss)(weights)

    output, trace = recorded(step, X, W)
    assert names(trace) == [*(f"layers[{i}].in" for i in range(4)), "loss"]
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        output,
        run_untapped(step, X, W),
    )


def test_under_vmap_a_frame_has_the_mapped_axis_in_front() -> None:
    def fn(x, weights, *, tap):
        return jax.vmap(lambda row: scanned(row, weights, tap=tap), in_axes=1)(x)

    _, trace = recorded(fn, X.T, W)
    assert names(trace) == [*STEPS, "final"]
    assert {frame.value.shape for frame in trace.frames()} == {(3, 16)}
    for frame in trace.frames():
        np.testing.assert_allclose(frame.value, unrolled(X, W)[frame.spec.name], atol=1e-5)


def test_a_mapped_while_loop_runs_until_all_have_finished() -> None:
    def doubled(x, *, tap):
        return jax.lax.while_loop(lambda x: x < 100, lambda x: tap("x", 2 * x), x)

    def fn(x, *, tap):
        return jax.vmap(functools.partial(doubled, tap=tap))(x)

    output, trace = recorded(fn, jnp.asarray([1.0, 30.0, 200.0]))
    assert names(trace) == [f"x[{i}]" for i in range(7)]
    np.testing.assert_array_equal(output, [128, 120, 200])
    # An example that has finished shows what its loop would have made next.
    np.testing.assert_array_equal(trace["x[6]"], [128, 240, 400])


def test_functions_with_derivatives_of_their_own_are_entered() -> None:
    def fn(x, *, tap):
        @jax.custom_vjp
        def first(x):
            return tap("first", jnp.sin(x))

        @jax.custom_jvp
        def second(x):
            return tap("second", jnp.sin(x))

        first.defvjp(lambda x: (first(x), x), lambda x, g: (g,))
        second.defjvp(lambda primals, tangents: (second(*primals), tangents[0]))
        return second(first(x))

    assert names(recorded(fn, X)[1]) == ["first", "second"]


def shard_mapped(x, *, tap):
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec()
    return jax.shard_map(lambda x: tap("h", x), mesh=mesh, in_specs=spec, out_specs=spec)(x)


def solved(x, *, tap):
    return jax.lax.custom_linear_solve(lambda v: tap("h", 2 * v), x, lambda _, b: b / 2)


@pytest.mark.parametrize(
    ("fn", "primitive"), [(shard_mapped, "shard_map"), (solved, "custom_linear_solve")]
)
def test_where_no_value_can_be_taken_out_is_said(fn, primitive: str) -> None:
    with pytest.raises(RequestError, match=f"^tap 'h' is inside {primitive}, .* move the tap"):
        recorded(fn, X)


def test_a_tap_in_the_condition_of_a_loop_is_refused() -> None:
    def fn(x, *, tap):
        return jax.lax.while_loop(lambda x: tap("h", x).sum() < 9, lambda x: x + 1, x)

    with pytest.raises(RequestError, match=r"^tap 'h' is in the condition .* into the loop's body"):
        recorded(fn, X)


def test_a_tap_that_changes_its_value_is_refused_in_a_loop_where_it_would_be_ignored() -> None:
    changing = hoisted(scanned)
    with pytest.raises(RequestError, match=r"'layers\[0\].hidden' is inside a loop or branch"):
        changing(X, W, tap=lambda name, value: value + 1)


# Injection


def faulty(x, weights, *, tap, at: int):
    """The layer number `at` is wrong, between its two taps."""

    def body(x, given):
        w, i = given
        h = tap("layers.hidden", jnp.tanh(x @ w))
        return tap("layers.out", x + jnp.where(i == at, 1.5 * h, h)), None

    x, _ = jax.lax.scan(body, x, (weights, jnp.arange(4)))
    return tap("final", 2 * x)


def on(reference: Trace, fn, *args) -> Trace:
    """`fn` on the reference's values at every tap."""
    stage = Stage("", "whole", fn, args, taps=tuple(names(reference)))
    sink = MemorySink()
    StagedSide("ours", [stage], reference, "taps", Manifest("test")).run(sink)
    return sink.trace(Manifest("test"))


def different(ours: Trace, reference: Trace) -> list[str]:
    return [
        frame.spec.name
        for frame in ours.frames()
        if not np.array_equal(frame.value, reference[frame.spec.name])
    ]


@functools.cache
def reference(dtype: str) -> tuple[tuple[jax.Array, ...], Trace]:
    """Arguments and the trace of a right function."""
    args = (X.astype(dtype), W.astype(dtype))
    return args, recorded(scanned, *args)[1]


@pytest.mark.parametrize(("at", "dtype"), [(0, "float32"), (2, "bfloat16"), (3, "float32")])
@pytest.mark.optimised
def test_on_the_references_values_a_fault_shows_in_its_iteration_alone(at: int, dtype: str) -> None:
    args, theirs = reference(dtype)
    ours = on(theirs, hoisted(functools.partial(faulty, at=at)), *args)
    assert names(ours) == names(theirs)
    assert different(ours, theirs) == [f"layers[{at}].out"]


def test_without_given_values_a_fault_shows_in_every_iteration_after_it() -> None:
    args, theirs = reference("float32")
    _, free = recorded(functools.partial(faulty, at=2), *args)
    assert different(free, theirs) == [
        "layers[2].out",
        "layers[3].hidden",
        "layers[3].out",
        "final",
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.optimised
def test_a_right_function_makes_no_difference_on_the_references_values(dtype: str) -> None:
    args, theirs = reference(dtype)
    assert different(on(theirs, hoisted(scanned), *args), theirs) == []


def test_a_fault_in_every_iteration_shows_at_each() -> None:
    def scaled(x, weights, *, tap):
        return scanned(x, 1.5 * weights, tap=tap)

    args, theirs = reference("float32")
    assert different(on(theirs, hoisted(scaled), *args), theirs) == [
        f"layers[{i}].hidden" for i in range(4)
    ]


def injected(fn, values, *args) -> dict[str, jax.Array]:
    """Computed values by name, where `values` are passed on."""
    return collecting(lambda *args, tap: fn(*args, tap=InjectingTap(tap, values)))(*args)[1]


def test_iterations_that_no_value_is_given_for_pass_on_their_own() -> None:
    def fn(x, *, tap):
        return jax.lax.fori_loop(0, 4, lambda i, x: tap("x", x + 1), x)

    taps = injected(hoisted(fn), {"x[1]": jnp.float32(100)}, jnp.float32(0))
    assert {name: float(value) for name, value in taps.items()} == {
        "x[0]": 1,
        "x[1]": 2,  # as computed; what is passed on is 100
        "x[2]": 101,
        "x[3]": 102,
    }


def test_values_reach_inner_loops_branches_and_loops_of_unknown_length() -> None:
    route = route_of(ragged, 4)
    own = injected(hoisted(ragged, route), {}, 4)
    given = {
        "outer[1].inner[0].sum": jnp.int32(1000),
        "odd[2]": jnp.int32(5000),
        "outer[2].inner[2].sum": jnp.int32(7),
    }
    taps = injected(hoisted(ragged, route), given, 4)
    assert taps["outer[1].inner[0].sum"] == own["outer[1].inner[0].sum"]
    assert taps["outer[1].inner[1].sum"] == 1001
    assert taps["odd[2]"] == 1000
    assert taps["outer[2].inner[0].sum"] == 10000
    assert taps["outer[2].inner[2].sum"] == 10003
    assert (hoisted(ragged, route))(4, tap=InjectingTap(lambda _, v: v, given)) == 7


def test_a_value_of_another_dtype_goes_on_in_the_programs_own() -> None:
    taps = injected(
        hoisted(scanned), {"layers[3].out": X}, X.astype("bfloat16"), W.astype("bfloat16")
    )
    assert taps["final"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(taps["final"], 2 * X.astype("bfloat16"))


@pytest.mark.parametrize("name", ["layers[3].out", "final"])
def test_a_value_of_another_shape_is_passed_over(name: str) -> None:
    """The shape is the difference then; the function goes on with what it has."""
    taps = injected(hoisted(scanned), {name: X[0]}, X, W)
    own = injected(hoisted(scanned), {}, X, W)
    assert taps[name].shape == (3, 16)
    np.testing.assert_array_equal(taps["final"], own["final"])


# Other meanings of the same program


def test_the_oracle_widens_every_iteration() -> None:
    args, theirs = reference("bfloat16")
    stage = Stage("", "whole", hoisted(scanned), args, taps=tuple(names(theirs)))
    oracle = Oracle([stage], "float64")
    free, local = oracle.free(), oracle.on(stage, theirs)
    x = np.asarray(args[0], np.float64)
    for i, w in enumerate(np.asarray(args[1], np.float64)):
        h = np.tanh(x @ w)
        np.testing.assert_allclose(free[f"layers[{i}].hidden"], h, rtol=1e-13, atol=1e-15)
        start = theirs[f"layers[{i - 1}].out"] if i else np.asarray(args[0])
        on_reference = np.tanh(np.asarray(start, np.float64) @ w)
        np.testing.assert_allclose(
            local[f"layers[{i}].hidden"], on_reference, rtol=1e-13, atol=1e-15
        )
        x = x + h
        np.testing.assert_allclose(free[f"layers[{i}].out"], x, rtol=1e-13, atol=1e-15)


def test_a_route_holds_for_the_oracle() -> None:
    x = jnp.asarray([4.0, 9.0])
    stage = Stage("", "whole", hoisted(newton, route_of(newton, x)), (x,))
    free = Oracle([stage], "float64").free()
    assert sorted(names(free)) == [f"root[{i}]" for i in range(4)]
    np.testing.assert_allclose(free["root[3]"], [2, 3], rtol=1e-4)
    assert free["root[3]"].dtype == np.float64


def test_bounds_hold_in_every_iteration() -> None:
    args, theirs = reference("bfloat16")
    stage = Stage("", "whole", hoisted(scanned), args, taps=tuple(names(theirs)))
    truth = Oracle([stage], "float64").on(stage, theirs)
    bounds = Bounds("float64").on(stage, theirs)
    for frame in on(theirs, hoisted(scanned), *args).frames():
        name, value = frame.spec.name, frame.value.astype(np.float64)
        bound = bounds[name][0] / 2
        assert np.isfinite(bound).all()
        assert (np.abs(value - truth[name]) <= bound).all()
        # And that of one iteration is no bound of the errors of all before it.
        assert bound.max() < 0.1


# Bits


def attention_block(x, p, *, tap):
    batch, length, width = x.shape
    h = tap("layers.norm", x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6))
    q, k, v = jnp.split((h @ p["qkv"]).reshape(batch, length, 4, -1), 3, axis=-1)
    scores = tap("layers.scores", jnp.einsum("btnh,bsnh->bnts", q, k) * (width // 4) ** -0.5)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    probs = tap("layers.probs", jax.nn.softmax(scores, axis=-1))
    mixed = jnp.einsum("bnts,bsnh->btnh", probs, v).reshape(x.shape)
    x = tap("layers.mid", x + mixed @ p["out"])
    return tap("layers.output", x + jax.nn.gelu(x @ p["up"]) @ p["down"])


def scanned_gpt(params, tokens, *, tap):
    def body(x, p):
        return attention_block(x, p, tap=tap), None

    x, _ = jax.lax.scan(body, tap("embed", params["embed"][tokens]), params["layers"])
    return tap("logits", x @ params["embed"].T)


def unrolled_gpt(params, tokens, *, tap):
    x = tap("embed", params["embed"][tokens])
    for i in range(3):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], params["layers"])
        x = attention_block(x, own, tap=lambda name, value, i=i: tap(f"{i}.{name}", value))
    return tap("logits", x @ params["embed"].T)


def gpt_arguments(dtype: str):
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape) / np.sqrt(shape[-2]), dtype)

    layers = {
        "qkv": weights(3, 32, 96),
        "out": weights(3, 32, 32),
        "up": weights(3, 32, 64),
        "down": weights(3, 64, 32),
    }
    tokens = jnp.asarray(rng.integers(0, 50, (2, 9)))
    return {"embed": 7 * weights(50, 32), "layers": layers}, tokens


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.optimised
def test_without_loops_a_function_is_recorded_as_it_is(dtype: str) -> None:
    """The same frames, bit for bit, and the same output."""
    args = gpt_arguments(dtype)
    sink = MemorySink()
    direct = compile_recording(unrolled_gpt, *args).run(*args, sink=sink)
    output, trace = recorded(unrolled_gpt, *args)
    assert len(trace.specs) == 17
    np.testing.assert_array_equal(output, direct)
    assert different(trace, sink.trace(Manifest("test"))) == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.optimised
def test_taps_in_a_loop_change_no_bit_of_its_output(dtype: str) -> None:
    args = gpt_arguments(dtype)
    output, trace = recorded(scanned_gpt, *args)
    assert len(trace.specs) == 17
    np.testing.assert_array_equal(output, run_untapped(scanned_gpt, *args))
