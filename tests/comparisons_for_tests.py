"""Comparisons made up for the tests of reports: small ones of arrays, a large one."""

import dataclasses
from collections.abc import Sequence

import ml_dtypes
import numpy as np

from parity.arrays.accuracy import Accuracy, ErrorQuantiles
from parity.arrays.metrics import Metrics
from parity.arrays.profile import Profile, profile
from parity.verdict.comparison import Column, Comparison
from parity.verdict.diff import diff_arrays
from parity.verdict.grouping import Grouping, by_index
from parity.verdict.taps import StageError, Status, TapDiff

TAPS = (
    "input", "pre_attention_norm", "attn.query", "attn.key", "attn.value", "attn.query_norm",
    "attn.key_norm", "attn.query_rope", "attn.key_rope", "attn.probs", "attn.encoded",
    "attn.output", "post_attention_norm", "attn_residual", "pre_ffw_norm", "mlp.gate", "mlp.up",
    "mlp.output", "post_ffw_norm", "output",
)  # fmt: skip
B, T, D = 2, 24, 8
HOSTILE = (
    "<script>document.documentElement.dataset.owned=1</script>",
    '</script><img src=x onerror="document.documentElement.dataset.owned=1">',
    '<a href="javascript:document.documentElement.dataset.owned=1">here</a>',
    "a \"quoted\" 'name' & more %{x} ${y} $z <b>bold</b> <br>",
    "\u202eright to left\u202c \u2028 \ud800",
    "<b>b</b>&lt;<br>",
    "<a href='#x'>y</a>",
    "long" * 500,
)


def tap(name: str, off: float = 0.0, seed: int = 0) -> TapDiff:
    """A compared tap of B, T, D elements, of which about half are off by this factor."""
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal((B, T, D), np.float32)
    ours = np.where(rng.random(reference.shape) < 0.5, reference * np.float32(1 + off), reference)
    row = diff_arrays(name, ours, reference)
    if row.metrics is None or not row.metrics.mismatched:
        return row
    shape = profile(ours, reference, row.metrics.mismatched, (B, T))
    return dataclasses.replace(row, status="diverged", reason="", profile=shape)


def by_block(taps: Sequence[str]) -> Grouping:
    """Rows as a subject declares them: blocks and, of the others, the logits are shown."""
    found = by_index(taps)
    shown = [row.label for row in found.rows if row.label != row.leaving or row.label == "logits"]
    return dataclasses.replace(found, noun="block", shown=shown)


def small_comparison(names: tuple[str, ...] = ()) -> Comparison:
    """Three blocks; `ours` is identical but for what isn't compared, `eps` diverges in block 1."""
    kinds = ("input", "attn.query", "output")
    blocks = [f"blocks.{i}.{kind}" for i in range(3) for kind in kinds]
    ours = [tap(name) for name in ("embed", *blocks, "logits")]
    ours[5] = TapDiff(blocks[4], "not_compared", "the package has no such tap")
    changed = [tap(name, 0.01 * i if i > 4 else 0.0, i) for i, name in enumerate(blocks)]
    eps = [tap("embed"), *changed, tap("logits", 0.5)]
    extra = [tap(name, 0.1) for name in names]
    columns = [
        Column("ours", {}, [*ours, *extra]),
        Column("eps=1e-5", {"rms_norm_eps": 1e-5}, [*eps, *extra]),
    ]
    return Comparison(
        {"model": "small", "dtype": "float32", "tokens_shape": [B, T], "versions": {"jax": "0"}},
        columns,
        environment=["devices differ"],
        blind_spots=["sliding window: not reached"],
        notes=["official certified"],
        rule=by_block,
    )


# A model that scans over its layers, one of two stacks, one whose names have no index.
SCAN = ("embed", *(f"layers[{i}].{kind}" for i in range(4) for kind in ("attn", "mlp")), "head")
STACKS = (
    "embed",
    *(f"encoder.layers[{i}].{kind}" for i in range(2) for kind in ("attn", "mlp")),
    "memory",
    *(f"decoder.layers[{i}].{kind}" for i in range(2) for kind in ("attn", "cross", "mlp")),
    "logits",
)
SINGLE = ("stem", "pool", "features", "dropout", "dense", "softmax")


def other_comparison(names: Sequence[str], extra: Sequence[str] = ()) -> Comparison:
    """Of a function: `ours` is identical, then rounds, and from the middle on is unjudged."""
    ours = [tap(name, 1e-6 * (i > 1), i) for i, name in enumerate((*names, *extra))]
    for i, each in enumerate(ours):
        status: Status = "rounding" if i < len(names) // 2 else "unjudged"
        if each.status != "identical":
            ours[i] = dataclasses.replace(each, status=status, reason=f"why {status}")
    other = [dataclasses.replace(each, status="diverged", reason="") for each in ours[2:]]
    return Comparison(
        {
            "model": None, "tokens": None, "blocks": None, "config": None, "dtype": None,
            "source": "forward", "reference": "hf_forward", "numerics": "default",
            "inputs": {"x": "float32[2, 24, 8] 0123456789abcdef", "params.w": "float32[8] 01"},
            "versions": {"jax": "0"},
        },
        [Column("ours", {}, ours), Column("other", {}, [*ours[:2], *other])],
    )  # fmt: skip


def large_comparison(blocks: int = 62, columns: int = 4, seed: int = 0) -> Comparison:
    """Every tap differs, at T = 512, and no two of a piece of the page's data are alike."""
    rng = np.random.default_rng(seed)
    shapes = [_random_profile(rng) for _ in range(128)]
    names = [f"blocks.{i}.{kind}" for i in range(blocks) for kind in TAPS]
    names = ["embed", *names, "final_norm", "logits"]
    return Comparison(
        {"model": "gemma3-27b", "tokens_shape": [2, 512], "blocks": blocks},
        [
            Column(
                f"column {i}",
                {},
                [_random_tap(n, rng, shapes[k % 128]) for k, n in enumerate(names)],
            )
            for i in range(columns)
        ],
        rule=by_block,
    )


def _random_profile(rng: np.random.Generator) -> Profile:
    """Of arrays of a random scale, whose tokens differ by chance and by random amounts."""
    shape = (2, 512, 64)
    reference = rng.standard_normal(shape, np.float32) * np.float32(np.exp(rng.normal(0, 2)))
    off = rng.standard_normal(shape, np.float32) * np.float32(np.exp(rng.normal(-6, 2)))
    where = rng.random(shape, np.float32) < rng.random()
    bfloat16 = ml_dtypes.bfloat16
    ours = np.where(where, reference * (1 + off), reference).astype(bfloat16)
    reference = reference.astype(bfloat16)
    differs = int((reference != ours).sum())
    return profile(ours, reference, differs, shape[:2])


def _random_tap(name: str, rng: np.random.Generator, shape: Profile) -> TapDiff:
    stage = StageError(_random_metrics(rng), *rng.random(2).tolist(), accuracy=_accuracy(rng))
    metrics, local, accuracy = _random_metrics(rng), _random_metrics(rng), _accuracy(rng)
    reason = f"made here: {stage.metrics.mismatched} of {stage.metrics.size} differ"
    return TapDiff(name, "diverged", reason, metrics, accuracy, local, stage, None, shape)


def _random_metrics(rng: np.random.Generator) -> Metrics:
    x = np.exp(rng.normal(-9, 3, 8)).tolist()
    at = tuple(rng.integers(0, 500, 3).tolist())
    return Metrics(
        5_505_024, int(rng.integers(1, 5_505_024)), 3, 0, 0, x[0], at, x[1], x[2], x[3], x[4],
        int(rng.integers(1, 1 << 15)), int(rng.integers(1, 1 << 9)), x[5], 1 - x[6], 50 * x[7],
    )  # fmt: skip


def _accuracy(rng: np.random.Generator) -> Accuracy:
    x = np.exp(rng.normal(-3, 1, 4)).tolist()
    errors = np.sort(rng.standard_normal((2, 33)), axis=1).tolist()
    return Accuracy(*x, 5, 6, ErrorQuantiles(tuple(errors[0]), tuple(errors[1]), 9))
