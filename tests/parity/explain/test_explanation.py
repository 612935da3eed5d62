"""Explaining any two JAX functions: places, other frameworks, refusals, scripts."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explanations_for_tests import line_of, places
from flax import linen, nnx

from parity.errors import RequestError
from parity.explain import explain
from parity.explain.location import location

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 16)), jnp.float32)
W = jnp.asarray(np.random.default_rng(1).standard_normal((16, 16)), jnp.float32)


def norm(x, eps):
    variance = jnp.mean(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(variance + eps)


def theirs(x, w):
    h = norm(x, 1e-6) @ w
    return jax.nn.silu(h) + x


def test_the_caller_is_named_where_it_passes_another_number() -> None:
    def ours(x, w):
        h = norm(norm(x, 1e-6), 1e-3) @ w
        return jax.nn.silu(h) + x

    def reference(x, w):
        h = norm(norm(x, 1e-6), 1e-6) @ w
        return jax.nn.silu(h) + x

    explanation = explain(ours, reference, X, W)
    assert places(explanation, __file__) == [line_of(norm, "variance + eps")]
    finding = explanation.causes[0].findings[0]
    assert finding.change == "0.001 where the reference has 1e-06"
    assert finding.counterpart_where is not None
    assert finding.counterpart_where.line == line_of(norm, "variance + eps")
    assert finding.confidence == "high"


def test_renamed_transposed_and_fused_formulations_line_up() -> None:
    def ours(x, w):
        scale = 1e-6 + (x * x).mean(-1)
        h = jnp.einsum("bi,ij->bj", x * jax.lax.rsqrt(scale)[:, None], w).T.reshape(4, 4, 6)
        return x + (h * jax.nn.sigmoid(h)).reshape(16, 6).T

    assert places(explain(ours, theirs, X, W), __file__) == []


def test_every_fault_is_named_in_order() -> None:
    def ours(x, w):
        h = norm(x, 1e-4) @ w
        return jax.nn.gelu(h) - x

    explanation = explain(ours, theirs, X, W)
    assert set(places(explanation, __file__)) >= {
        line_of(norm, "variance + eps"),
        line_of(ours, "gelu(h) - x"),
    }


def scanned(x, decay):
    def step(carry, row):
        carry = carry * decay + row
        return carry, carry

    return jax.lax.scan(step, jnp.zeros(x.shape[1], x.dtype), x)[1]


def test_a_fault_in_a_loop_is_named_inside() -> None:
    explanation = explain(lambda x: scanned(x, 0.5), lambda x: scanned(x, 0.25), X)
    assert places(explanation, __file__) == [line_of(scanned, "carry * decay")]


def unrolled(x):
    rows, carry = [], jnp.zeros(x.shape[1], x.dtype)
    for row in x:
        carry = carry * 0.5 + row
        rows.append(carry)
    return jnp.stack(rows)


def test_a_loop_lines_up_with_the_same_unrolled() -> None:
    assert places(explain(lambda x: scanned(x, 0.5), unrolled, X), __file__) == []


def branched(x, factor):
    return jax.lax.cond(x.sum() > -1e9, lambda v: v * factor, lambda v: v, x)


def grown(x, factor):
    return jax.lax.while_loop(lambda v: jnp.abs(v).max() < 50, lambda v: v * factor, x)


@pytest.mark.parametrize(
    ("fn", "text"), [(branched, "v * factor"), (grown, "v * factor")], ids=["cond", "while"]
)
def test_branches_and_open_loops_are_followed(fn, text: str) -> None:
    explanation = explain(lambda x: fn(x, 2.5), lambda x: fn(x, 3.0), X)
    assert places(explanation, __file__)[0] == line_of(fn, text)


def test_jit_checkpoint_and_custom_rules_are_entered() -> None:
    @jax.custom_jvp
    def doubled(x):
        return x * 2.0

    doubled.defjvp(lambda p, t: (doubled(*p), t[0] * 2.0))
    inner = jax.jit(jax.checkpoint(lambda x: doubled(x) * 3.5))
    explanation = explain(lambda x: inner(x), lambda x: x * 2.0 * 3.0, X)
    assert len(explanation.causes) == 1
    assert explanation.causes[0].where.text.endswith("* 3.5))")


class Dense(linen.Module):
    slope: float

    @linen.compact
    def __call__(self, x):
        h = linen.Dense(16)(x)
        return jnp.where(h > 0, h, h * self.slope)


def test_flax_linen_modules() -> None:
    """Each applied to the same variables."""
    variables = Dense(0.1).init(jax.random.key(0), X)
    explanation = explain(Dense(0.2).apply, Dense(0.1).apply, variables, X)
    assert places(explanation, __file__) == [line_of(Dense, "h * self.slope")]


class Mlp(nnx.Module):
    def __init__(self, factor: float, rngs: nnx.Rngs):
        self.linear = nnx.Linear(16, 16, rngs=rngs)
        self.factor = factor

    def __call__(self, x):
        return jnp.tanh(self.linear(x) * self.factor)


def test_flax_nnx_modules() -> None:
    """Split into a graph definition and a state, which both sides share."""
    ours, reference = (nnx.split(Mlp(factor, nnx.Rngs(0))) for factor in (0.3, 0.5))
    explanation = explain(
        lambda state, x: nnx.merge(ours[0], state)(x),
        lambda state, x: nnx.merge(reference[0], state)(x),
        reference[1],
        X,
    )
    assert places(explanation, __file__) == [line_of(Mlp, "* self.factor")]


def test_the_text_says_what_an_engineer_needs() -> None:
    def ours(x, w):
        h = norm(x, 1e-2) @ w
        return jax.nn.silu(h) + x

    text = str(explain(ours, theirs, X, W))
    assert text.startswith("1 statement where ours departs\n")
    assert f"test_explanation.py:{line_of(norm, 'variance + eps')}" in text
    assert "> return x * jax.lax.rsqrt(variance + eps)" in text
    assert "0.01 where the reference has 1e-06" in text
    assert "confidence high" in text
    assert max(map(len, text.splitlines())) <= 80


def test_no_place_gives_away_where_this_machine_keeps_its_files() -> None:
    def ours(x, w):
        h = jnp.sin(x)
        return jnp.tanh((h * h) @ w)

    def reference(x, w):
        h = jnp.cos(x)
        return jnp.tanh((1.001 - h * h) @ w)

    text = " ".join(str(explain(ours, reference, X, W, attribution=False)).split())
    place = location(__file__, line_of(reference, "1.001"), "", None)
    assert f"reference: {place}" in text
    assert str(Path(__file__).parents[3]) not in text


def test_a_line_of_the_reference_that_is_farther_on_is_said_to_be() -> None:
    def ours(x, w):
        h = norm(x, 1e-2) @ w
        return jax.nn.silu(h) + x

    (cause,) = explain(ours, theirs, X, W, attribution=False).causes
    (finding,) = cause.findings
    there = f"tests/parity/explain/test_explanation.py:{line_of(norm, 'variance + eps')}"
    assert there.endswith(finding.counterpart_place)
    earlier = dataclasses.replace(finding, node=finding.node.inputs[0].node, edited_there=None)
    assert earlier.counterpart_place.endswith(", where the two line up again")


def test_equal_functions_have_no_cause() -> None:
    text = str(explain(theirs, theirs, X, W))
    assert text.startswith("no operation of ours departs from the reference\n")
    assert "\nchecked: run one operation at a time, ours gives the same bits as" in text


def test_excess_precision_is_recognised() -> None:
    """In bfloat16 a jitted chain keeps more than each operation alone; op by op the two agree."""
    x = X.astype(jnp.bfloat16)
    explanation = explain(
        lambda x: (x * 1.01 + 0.3) * x, lambda x: (0.3 + 1.01 * x) * x, x, attribution=False
    )
    assert explanation.causes == []
    assert explanation.faithful is not None


@pytest.mark.parametrize(
    ("ours", "complaint"),
    [
        (
            lambda x, w: (x @ w)[:2],
            r"ours returns float32\[2, 16\], the reference float32\[6, 16\]$",
        ),
        (
            lambda x, w: {"a": x, "b": x},
            r"ours returns \['a'\] float32\[6, 16\], \['b'\] float32\[6, 16\], the reference "
            r"float32\[6, 16\]$",
        ),
        (
            lambda x, w: list(jnp.broadcast_to(x, (9, 6, 16))),
            r"ours returns \[0\] float32\[6, 16\], .*, and 6 more, the reference float32",
        ),
        (lambda x, w: x @ w[:3], "can't be run: TypeError: dot_general requires"),
        (lambda x: x, "can't be run: TypeError"),
        (lambda x, w: x / 0 if x.sum() > 0 else x, "ours can't be traced: TracerBoolConversion"),
        (
            lambda x, w: x + jax.random.normal(jax.random.key(0), x.shape),
            "ours draws random numbers",
        ),
    ],
    ids=["shape", "tree", "many", "fails", "arguments", "python branch", "random"],
)
def test_what_cannot_be_explained_is_one_clear_line(ours, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint) as refused:
        explain(ours, theirs, X, W)
    assert "\n" not in str(refused.value)


def test_side_effects_are_refused() -> None:
    def printing(x, w):
        jax.debug.print("{}", x[0, 0])
        return theirs(x, w)

    with pytest.raises(RequestError, match="ours has side effects"):
        explain(printing, theirs, X, W)


def test_a_tap_that_a_function_takes_is_given_one_that_does_nothing() -> None:
    def ours(x, w, *, tap):
        return tap("out", jnp.tanh(tap("h", x @ w)) * 3.0)

    def reference(x, w, tap=None):
        assert tap is not None
        return jnp.tanh(x @ w) * 2.0

    explanation = explain(ours, reference, X, W)
    assert places(explanation, __file__) == [line_of(ours, "3.0")]


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Module:
    """A module that is a pytree and has no hash, as those of equinox."""

    weight: jax.Array
    factor: float = dataclasses.field(metadata={"static": True})

    def __call__(self, x):
        return jnp.tanh(x @ self.weight) * self.factor


def test_modules_that_are_pytrees_are_called_as_they_are() -> None:
    assert Module.__hash__ is None
    explanation = explain(Module(W, 0.3), Module(W, 0.5), X)
    assert places(explanation, __file__) == [line_of(Module, "* self.factor")]
    assert explain(Module(W, 0.3), Module(W, 0.3), X).agrees


def test_numbers_and_numpy_arrays_are_arguments_too() -> None:
    explanation = explain(lambda x, s: x * s + 1, lambda x, s: x * s + 2, np.asarray(X), 0.5)
    assert len(explanation.causes) == 1
