"""Any two callables through the whole pipeline."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parity
from parity.errors import RequestError

pytestmark = pytest.mark.quick

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 8)), jnp.float32)
W = jnp.asarray(np.random.default_rng(1).standard_normal((8, 8)), jnp.float32)


def theirs(x, *, tap):
    hidden = tap("hidden", x @ W)
    return tap("gelu", jax.nn.gelu(hidden, approximate=False))


def wrong(x, *, tap):
    hidden = tap("hidden", x @ W)
    return tap("gelu", jax.nn.gelu(hidden))


def found(comparison: parity.Comparison) -> dict[str, str]:
    return {tap.tap: tap.status for tap in comparison.columns[0].taps}


def test_a_function_is_identical_to_itself() -> None:
    comparison = parity.diff(theirs, theirs, X)
    assert found(comparison) == dict.fromkeys(("hidden", "gelu", "output"), "identical")
    assert comparison.holds


def test_a_fault_is_named_at_its_tap_and_inherited_after_it() -> None:
    comparison = parity.diff(wrong, theirs, X)
    assert found(comparison) == {"hidden": "identical", "gelu": "diverged", "output": "diverged"}
    assert "another formula" in comparison.columns[0].taps[1].reason
    assert not comparison.holds
    assert "DIVERGED at gelu" in str(comparison)


def test_without_taps_outputs_are_compared() -> None:
    comparison = parity.diff(lambda x: {"a": x + 1, "b": x * 2}, lambda x: {"a": x + 1, "b": x}, X)
    assert found(comparison) == {"output.a": "identical", "output.b": "diverged"}


def test_taps_that_only_the_reference_has_are_not_called_equal() -> None:
    comparison = parity.diff(lambda x: jax.nn.gelu(x @ W, approximate=False), theirs, X)
    assert found(comparison) == {
        "output": "identical",
        "hidden": "not_compared",
        "gelu": "not_compared",
    }
    assert "verified: 1 of 3 taps compared" in str(comparison)


def test_what_is_not_judged_is_unjudged_and_does_not_hold() -> None:
    comparison = parity.diff(wrong, theirs, X, oracle=None)
    assert found(comparison)["gelu"] == "unjudged"
    assert not comparison.holds
    allowed = parity.diff(wrong, theirs, X, oracle=None, allow=("rounding", "unjudged"))
    assert allowed.holds


@pytest.mark.parametrize(
    ("ours", "status"),
    [(lambda x: x[:2], "shape"), (lambda x: x.astype(jnp.bfloat16), "dtype")],
)
def test_a_shape_or_dtype_is_a_status_though_nothing_else_is_shared(ours, status: str) -> None:
    comparison = parity.diff(ours, lambda x: x, X)
    assert found(comparison) == {"output": status}
    assert not comparison.holds


def test_other_structures_are_refused() -> None:
    with pytest.raises(RequestError, match=r"return other structures: ours \[\['a'\]\]"):
        parity.diff(lambda x: {"a": x}, lambda x: {"b": x}, X)


def test_weights_as_arguments_or_closed_over_make_no_difference() -> None:
    def given(w, x):
        return jnp.tanh(x @ w)

    comparison = parity.diff(given, lambda w, x: jnp.tanh(x @ W), W, X)
    assert comparison.holds


def test_layers_that_are_scanned_pair_with_layers_that_are_not() -> None:
    def scanned(x, *, tap):
        def layer(h, _):
            return tap("layers.out", jnp.tanh(h @ W)), None

        return jax.lax.scan(layer, x, length=3)[0]

    def unrolled(x, *, tap):
        for i in range(3):
            x = tap(f"h.{i}.out", jnp.tanh(x @ W))
        return x

    comparison = parity.diff(scanned, unrolled, X, names={"layers[{}].out": "h.{}.out"})
    assert list(found(comparison)) == ["h.0.out", "h.1.out", "h.2.out", "output"]
    assert comparison.holds


def test_a_trace_of_other_inputs_is_refused_and_says_which() -> None:
    trace = parity.record_trace(theirs, X)
    assert parity.diff(theirs, trace, X).holds
    with pytest.raises(RequestError, match=r"the reference differs in inputs: .*\[0\]"):
        parity.diff(theirs, trace, X + 1)


def test_what_is_returned_writes_a_report(tmp_path: Path) -> None:
    folder = parity.diff(wrong, theirs, X).write(tmp_path / "report")
    document = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert document["schema"] == 1
    assert document["columns"][0]["diverged_at"] == "gelu"
    assert (folder / "report.html").stat().st_size > 1_000_000


def test_an_unknown_allowance_is_refused() -> None:
    with pytest.raises(RequestError, match="allow takes identical, rounding, unjudged"):
        parity.diff(theirs, theirs, X, allow=("diverged",))


def test_both_parts_of_complex_numbers_are_compared() -> None:
    comparison = parity.diff(lambda x: jnp.exp(1j * x), lambda x: jnp.exp(-1j * x), X)
    assert found(comparison) == {"output": "diverged"}
    assert comparison.columns[0].taps[0].metrics.size == 2 * X.size


def test_an_infinity_on_both_sides_is_no_difference() -> None:
    def naive(x):
        return jnp.where(x > 0, -jnp.inf, jnp.exp(x) * jnp.exp(x * 0.3))

    comparison = parity.diff(naive, lambda x: jnp.where(x > 0, -jnp.inf, jnp.exp(x * 1.3)), X)
    assert comparison.holds, str(comparison)


def test_what_too_few_elements_show_is_unjudged() -> None:
    def narrow(x):
        return x.astype(jnp.bfloat16).astype(jnp.float32) * 3

    assert found(parity.diff(narrow, lambda x: x * 3, X[0])) == {"output": "unjudged"}
    assert found(parity.diff(narrow, lambda x: x * 3, jnp.tile(X, 4))) == {"output": "diverged"}


def test_an_output_that_ours_lacks_is_missing_from_a_trace_too() -> None:
    trace = parity.record_trace(lambda x: (x * 2, x * 3), X)
    comparison = parity.diff(lambda x: (x * 2,), trace, X)
    assert found(comparison) == {"output.0": "identical", "output.1": "missing"}
    assert not comparison.holds


@pytest.mark.parametrize("names", [{"output": "zz"}, {"hidden": "gelu"}])
def test_names_can_not_hide_an_output_or_meet(names: dict[str, str]) -> None:
    with pytest.raises(RequestError, match="names: "):
        parity.diff(wrong, theirs, X, names=names)


def exits(x):
    raise SystemExit(0)


def doubled(x, *, tap):
    return tap("a", tap("a", x))


@jax.vmap
def mapped(row, *, tap):
    return tap("a", row)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (exits, "can't be run: SystemExit: 0"),
        (doubled, "tap 'a' was met twice"),
        (mapped, "hands its tap to jax.vmap"),
        (lambda x: 2**40, "can't be run: OverflowError"),
    ],
)
def test_a_function_that_can_not_be_run_is_one_clear_line(fn, message: str) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        parity.diff(fn, lambda x: x, X)
    assert "\n" not in str(raised.value)
