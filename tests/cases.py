"""What tests share: one official-against-ours comparison, and shapes small enough to be quick."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from jaxformer.checkpoint.synthetic import synthetic_params, synthetic_tokens
from jaxformer.config import Config, gemma3_layer_kinds
from jaxformer.official import converted_config
from jaxformer.params import Params
from jaxformer.taps import model_taps
from parity.program.oracle import OracleDType
from parity.program.stages import Scope
from parity.sides.function import FunctionSide
from parity.subjects.gemma.flax_gemma import flax_gemma_side
from parity.subjects.gemma.ours import jaxformer_side
from parity.trace.manifest import Manifest
from parity.verdict.comparison import Column
from parity.verdict.evidence import Evidence
from parity.verdict.plan import Candidate
from parity.verdict.run import compare_candidate, recorded

# The last block comes after a global one; grouped queries; a window of 8.
SMALL = Config(
    vocab_size=512,
    width=64,
    mlp_width=128,
    num_heads=4,
    num_kv_heads=2,
    head_width=32,
    layer_kinds=("local", "local", "global", "local"),
    window=8,
    query_pre_attn_scalar=32,
)

# Gemma's own order of kinds, a whole turn of it and one more.
SEVEN = dataclasses.replace(SMALL, layer_kinds=gemma3_layer_kinds(7))

# For what needs a block of each kind and no depth.
SHORT = dataclasses.replace(SMALL, layer_kinds=("local", "global", "local"))


def talkative(params: Params) -> Params:
    """The weights with larger gains, so that greedy text doesn't repeat one token.

    With a tied embedding and small blocks a model says the last token again, for ever: then any two
    models agree.
    """
    louder = [
        dataclasses.replace(
            block,
            post_attention_norm=block.post_attention_norm + 6,
            post_ffw_norm=block.post_ffw_norm + 6,
        )
        for block in params.blocks
    ]
    return dataclasses.replace(params, blocks=tuple(louder))


def quiet(message: str) -> None:
    """A progress callback for tests."""
    del message


@dataclass(frozen=True)
class Case:
    """One comparison of jaxformer with the official package.

    Attributes:
      config: ours.
      official: the package's config; converted from ours if None.
      tokens: [B][T]; None for synthetic ones of `shape`.
    """

    config: Config
    params: Params
    shape: tuple[int, int]
    blocks: int
    official: Any = None
    tokens: list[list[int]] | None = None
    numerics: Any = "default"
    seed: int = 0

    def run(self, config: Config | None = None) -> Column:
        """Compare; `config` is that of the candidate where it departs from the official one."""
        official, ours = self.sources(config)
        with recorded(official, quiet) as reference:
            official.release()
            candidate = Candidate("ours", {}, lambda: ours)
            column, _ = compare_candidate(reference, official.unavailable, candidate, quiet)
        return column

    def sources(self, config: Config | None = None) -> tuple[FunctionSide, FunctionSide]:
        """The official package and ours, `config` where that departs from the official one."""
        ids = self.tokens or synthetic_tokens(self.config, *self.shape, self.seed)
        tokens = jnp.asarray(ids, jnp.int32)
        common: Any = (self.params, tokens)
        official = flax_gemma_side(
            *common,
            self.official or converted_config(self.config, self.blocks),
            Manifest("test"),
            whole=self.blocks == self.config.num_blocks,
            numerics=self.numerics,
        )
        ours = jaxformer_side(
            *common,
            config or self.config,
            Manifest("test"),
            blocks=self.blocks,
            numerics=self.numerics,
        )
        return official, ours

    def examine(
        self,
        config: Config | None = None,
        *,
        scopes: Sequence[Scope] = ("blocks", "taps"),
        oracle: OracleDType | None = "float64",
    ) -> Column:
        """Compare and judge."""
        return self.examine_all({"ours": config or self.config}, scopes=scopes, oracle=oracle)[0]

    def examine_all(
        self,
        configs: Mapping[str, Config],
        *,
        scopes: Sequence[Scope] = ("blocks", "taps"),
        oracle: OracleDType | None = "float64",
    ) -> list[Column]:
        """A judged column per candidate config."""
        official, _ = self.sources()
        columns = []
        with (
            recorded(official, quiet) as reference,
            Evidence(
                official,
                reference,
                lambda: official,
                scopes=scopes,
                dtype=oracle,
                progress=quiet,
            ) as evidence,
        ):
            for name, config in configs.items():
                source = functools.partial(self.sources, config)
                candidate = Candidate(name, {}, lambda source=source: source()[1])
                column, ours = compare_candidate(reference, {}, candidate, quiet)
                columns.append(evidence.examine(column, ours))
        return columns


def small_case(
    dtype: str = "bfloat16", shape: tuple[int, int] = (2, 20), *, seed: int = 0, **changes: Any
) -> Case:
    """The SMALL shape at full depth."""
    params = synthetic_params(SMALL, seed, dtype)
    return Case(SMALL, params, shape, SMALL.num_blocks, seed=seed, **changes)


def assert_identical(column: Column, expected_taps: int) -> None:
    """Every expected tap was compared, and no bit differs."""
    assert len(column.taps) == expected_taps
    assert {tap.tap: tap.status for tap in column.taps if tap.status != "identical"} == {}


def tap_count(blocks: int, *, whole: bool) -> int:
    """How many taps the table has for a run of so many blocks."""
    return len(list(model_taps(blocks, whole=whole)))


def tap_shapes(
    config: Config, blocks: int, batch: int, length: int
) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tap of a run of the first blocks, as the table has them."""
    sizes = {
        "B": batch,
        "T": length,
        "S": length,
        "D": config.width,
        "N": config.num_heads,
        "K": config.num_kv_heads,
        "H": config.head_width,
        "F": config.mlp_width,
        "V": config.vocab_size,
    }
    points = model_taps(blocks, whole=blocks == config.num_blocks)
    return [(point.name, point.shape(sizes)) for point in points]
