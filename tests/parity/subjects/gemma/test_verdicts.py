"""Verdicts on rewrites that only round differently, and on real faults, by seed and dtype.

No rewrite may be called diverged, no fault may pass for rounding. With `-m matrix` alone: ten seeds
in both dtypes, half an hour of two cores; `-s` prints the table.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from cases import SMALL, Case, quiet

import jaxformer.attention
import jaxformer.model
from jaxformer.checkpoint.synthetic import synthetic_params
from jaxformer.config import Config, Rope
from jaxformer.layers import gate_and_up
from parity.subjects.gemma import ours as jaxformer_side
from parity.verdict.comparison import Column
from parity.verdict.evidence import Evidence
from parity.verdict.plan import Candidate
from parity.verdict.run import compare_candidate, recorded

# Two blocks are enough, one of each kind; 20 tokens are longer than the window of 8.
CONFIG = dataclasses.replace(SMALL, layer_kinds=("local", "global"))
SHAPE = (2, 20)


def patched(home: Any, name: str, replacement: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: mock.patch.object(home, name, replacement)


def norm_without_one(x, scale, numerics):
    mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(mean_square + numerics.rms_norm_eps) * scale


def exact_gelu_mlp(x, gating, output, numerics, tap):
    gate, up = gate_and_up(x, gating, numerics.gating)
    gate, up = tap("gate", gate), tap("up", up)
    activations = jax.nn.gelu(gate, approximate=False) * up
    return tap("output", jnp.einsum("BTF,FD->BTD", activations, output))


def seeing_one_ahead(query_positions, key_positions, key_valid, window):
    query, key = query_positions[:, :, None], key_positions[:, None, :]
    mask = key_valid[:, None, :] & (key <= query + 1)
    return mask if window is None else mask & (key > query - window)


def heads_grouped_by_turns(x, groups):
    batch, length, heads, last = x.shape
    return x.reshape(batch, length, heads // groups, groups, last).swapaxes(2, 3)


@contextlib.contextmanager
def unscaled_embedding():
    """Where the whole model looks it up, and where its first stage does."""
    with (
        mock.patch.object(MODEL, "embed", lambda table, tokens: table[tokens]),
        mock.patch.object(jaxformer_side, "embed", lambda table, tokens: table[tokens]),
    ):
        yield


def norm_of_the_sum(x, scale, numerics):
    """Mean square taken over the batch's rows too."""
    mean_square = jnp.mean(jnp.square(x), axis=(0, -1), keepdims=True)
    return x * jax.lax.rsqrt(mean_square + numerics.rms_norm_eps) * (1 + scale)


@dataclass(frozen=True)
class Subject:
    """A change to the model: another config, or a replaced function.

    Attributes:
      at: in the name of the tap where it must be called diverged; empty for a rewrite.
    """

    name: str
    config: Config = CONFIG
    patch: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    at: str = ""


def rewrite(name: str, **numerics: Any) -> Subject:
    return Subject(name, CONFIG.with_numerics(**numerics))


def fault(name: str, at: str, **changes: Any) -> Subject:
    return Subject(name, dataclasses.replace(CONFIG, **changes), at=at)


def replaced(name: str, at: str, home: Any, attribute: str, function: Any) -> Subject:
    return Subject(name, patch=patched(home, attribute, function), at=at)


ATTENTION, MODEL = jaxformer.attention, jaxformer.model
SUBJECTS = [
    rewrite("gating split", gating="split"),
    rewrite("gating stacked", gating="stacked"),
    rewrite("gating concatenated", gating="concatenated"),
    rewrite("norm in float32", norm_dtype="float32"),
    rewrite("HF scaling of logits", query_scaling="logits"),
    rewrite("softmax in float32", softmax_dtype="float32"),
    Subject("eps=1e-5", CONFIG.with_numerics(rms_norm_eps=1e-5), at="norm"),
    fault("query scaled twice", "blocks.0.attn.probs", query_pre_attn_scalar=32 * 32),
    fault("global RoPE base", "blocks.1.attn.query_rope", global_rope=Rope(10_000)),
    fault("RoPE factor", "blocks.1.attn.query_rope", global_rope=Rope(1_000_000, 8.0)),
    fault("window one longer", "blocks.0.attn.probs", window=9),
    replaced(
        "norm without 1 +", "blocks.0.pre_attention_norm", MODEL, "rms_norm", norm_without_one
    ),
    replaced("norm over rows", "blocks.0.pre_attention_norm", MODEL, "rms_norm", norm_of_the_sum),
    replaced("no query norm", "blocks.0.attn.query_norm", ATTENTION, "rms_norm", lambda x, *_: x),
    replaced(
        "gate and up swapped",
        "blocks.0.mlp.gate",
        jaxformer.layers,
        "gate_and_up",
        lambda *a: gate_and_up(*a)[::-1],
    ),
    Subject("embedding unscaled", patch=unscaled_embedding, at="embed"),
    replaced(
        "mask sees ahead", "blocks.0.attn.probs", ATTENTION, "attention_mask", seeing_one_ahead
    ),
    replaced(
        "heads by turns", "blocks.0.attn.probs", ATTENTION, "_split_heads", heads_grouped_by_turns
    ),
    replaced("exact GELU", "blocks.0.mlp.output", MODEL, "gated_mlp", exact_gelu_mlp),
]


def params_with_faint_outputs(seed: int, dtype: str):
    """Output projections scaled down, so that the norms after them feel their epsilon."""
    params = synthetic_params(CONFIG, seed, dtype)
    faint = [
        dataclasses.replace(
            block,
            attn=dataclasses.replace(block.attn, output=block.attn.output * 2**-6),
            mlp=dataclasses.replace(block.mlp, output=block.mlp.output * 2**-6),
        )
        for block in params.blocks
    ]
    return dataclasses.replace(params, blocks=tuple(faint))


def verdicts(seed: int, dtype: str, subjects: list[Subject]) -> dict[str, Column]:
    """Each subject's judged column."""
    case = Case(CONFIG, params_with_faint_outputs(seed, dtype), SHAPE, 2, seed=seed)
    official, _ = case.sources()
    columns = {}
    with (
        recorded(official, quiet) as reference,
        Evidence(
            official, reference, lambda: official, scopes=["taps"], dtype="float64", progress=quiet
        ) as evidence,
    ):
        for subject in subjects:
            with subject.patch():
                made = functools.partial(case.sources, subject.config)
                candidate = Candidate(subject.name, {}, lambda made=made: made()[1])
                column, ours = compare_candidate(reference, {}, candidate, quiet)
                columns[subject.name] = evidence.examine(column, ours)
    return columns


def row(subject: Subject, column: Column, seed: int, dtype: str) -> str:
    first, diverged = column.first_divergence, column.diverged_at
    status = "identical" if first is None else "rounding" if diverged is None else "diverged"
    tap = diverged or first
    reason = tap.reason if tap else ""
    place = tap.tap if tap else "-"
    return f"{seed} {dtype:8} {subject.name:21} {status:9} {place:29} {reason}"


# `-m ''` takes ten seeds in both dtypes, compiled as users do. The suite takes a seed in either
# dtype without optimisation, which is most of their time, and two subjects with it.
IN_SUITE = [(0, "float32"), (1, "bfloat16")]
RUNS = [
    *(
        pytest.param(*run, marks=pytest.mark.quick, id=f"{run[0]}-{run[1]}-quick")
        for run in IN_SUITE
    ),
    *(
        pytest.param(seed, dtype, marks=pytest.mark.matrix)
        for seed in range(10)
        for dtype in ("bfloat16", "float32")
    ),
]
OPTIMISED = ("HF scaling of logits", "eps=1e-5")


@pytest.mark.parametrize(("seed", "dtype"), RUNS)
def test_no_rewrite_is_called_diverged_and_no_fault_rounding(seed: int, dtype: str) -> None:
    check(seed, dtype, SUBJECTS)


def test_nor_where_programs_are_optimised() -> None:
    """In float32, where another order of a sum shows in most elements."""
    check(0, "float32", [subject for subject in SUBJECTS if subject.name in OPTIMISED])


def check(seed: int, dtype: str, subjects: list[Subject]) -> None:
    columns = verdicts(seed, dtype, subjects)
    wrong = []
    for subject in subjects:
        column = columns[subject.name]
        line = row(subject, column, seed, dtype)
        print(line)
        diverged = column.diverged_at
        if not subject.at:
            right = diverged is None and column.unjudged_at is None
        else:
            right = diverged is not None and subject.at in diverged.tap
        if not right:
            wrong.append(line)
    assert wrong == []
