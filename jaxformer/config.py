"""Model shapes, as frozen (hashable, hence jit-static) dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from jaxformer.hf_config import HfConfig, hf_config_json, parse_hf_config
from jaxformer.numerics import Numerics

LayerKind = Literal["local", "global"]


@dataclass(frozen=True)
class Rope:
    """RoPE of one layer kind: `angle = position / base^(2i/H) / factor`."""

    base: int
    factor: float = 1.0


@dataclass(frozen=True)
class Config:
    """Shape of one Gemma 3 text model. Letters in brackets are those of every docstring.

    Attributes:
      vocab_size: V, rows of the tied embedding.
      width: D, model width.
      mlp_width: F, hidden width of the gated MLP.
      num_heads: N, query heads.
      num_kv_heads: K, key and value heads; G = N / K queries share one.
      head_width: H.
      layer_kinds: one entry per block, so its length is L.
      window: W, keys that a local layer sees, its own included.
      query_pre_attn_scalar: queries are scaled by its inverse square root.
      local_rope, global_rope: RoPE of local and of global layers.
      numerics: accepted ways to round.
      context_length: positions that the model was made for.
    """

    vocab_size: int
    width: int
    mlp_width: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    layer_kinds: tuple[LayerKind, ...]
    window: int
    query_pre_attn_scalar: int
    local_rope: Rope = Rope(10_000)
    global_rope: Rope = Rope(1_000_000)
    numerics: Numerics = field(default_factory=Numerics)
    context_length: int = 131_072

    def __post_init__(self) -> None:
        sizes = (
            "vocab_size width mlp_width num_heads num_kv_heads head_width window "
            "query_pre_attn_scalar context_length"
        )
        for name in sizes.split():
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.layer_kinds or set(self.layer_kinds) - set(get_args(LayerKind)):
            raise ValueError(
                f"layer_kinds must name 'local' or 'global' for each block, got {self.layer_kinds}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads must be a multiple of num_kv_heads, "
                f"got {self.num_heads} and {self.num_kv_heads}"
            )
        if self.head_width % 2:
            raise ValueError(f"head_width must be even for RoPE, got {self.head_width}")

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Config:
        """The text model of a parsed Hugging Face `config.json`, in either of its schemas.

        Numerics stay the official ones; the norm's epsilon is the config's.

        Raises:
          UsageError: not Gemma 3's, or asks for what jaxformer doesn't do; every field at once.
        """
        hf = parse_hf_config(config)
        return cls(
            vocab_size=hf.vocab_size,
            width=hf.width,
            mlp_width=hf.mlp_width,
            num_heads=hf.num_heads,
            num_kv_heads=hf.num_kv_heads,
            head_width=hf.head_width,
            layer_kinds=cast(tuple[LayerKind, ...], hf.layer_kinds),
            window=hf.window,
            query_pre_attn_scalar=hf.query_pre_attn_scalar,
            local_rope=Rope(*hf.local_rope),
            global_rope=Rope(*hf.global_rope),
            numerics=Numerics(rms_norm_eps=hf.rms_norm_eps),
            context_length=hf.context_length,
        )

    def to_hf(self) -> dict[str, Any]:
        """A Hugging Face `config.json` of this model; of numerics it can say the epsilon alone."""
        return hf_config_json(
            HfConfig(
                vocab_rows=self.vocab_size,
                vocab_size=self.vocab_size,
                width=self.width,
                mlp_width=self.mlp_width,
                num_heads=self.num_heads,
                num_kv_heads=self.num_kv_heads,
                head_width=self.head_width,
                layer_kinds=self.layer_kinds,
                window=self.window,
                query_pre_attn_scalar=self.query_pre_attn_scalar,
                local_rope=(self.local_rope.base, self.local_rope.factor),
                global_rope=(self.global_rope.base, self.global_rope.factor),
                rms_norm_eps=self.numerics.rms_norm_eps,
                context_length=self.context_length,
            )
        )

    @property
    def num_blocks(self) -> int:
        """L, the model's depth."""
        return len(self.layer_kinds)

    @property
    def query_scale(self) -> float:
        return self.query_pre_attn_scalar**-0.5

    def rope(self, kind: LayerKind) -> Rope:
        return self.local_rope if kind == "local" else self.global_rope

    def with_numerics(self, **changes: Any) -> Config:
        """This config with the named `Numerics` fields changed.

        Raises:
          TypeError: a name is not a field of Numerics.
          ValueError: a value is not accepted.
        """
        return dataclasses.replace(self, numerics=dataclasses.replace(self.numerics, **changes))


def gemma3_layer_kinds(num_blocks: int) -> tuple[LayerKind, ...]:
    """Five local blocks, then a global one, repeated and cut at `num_blocks`."""
    return tuple("global" if (i + 1) % 6 == 0 else "local" for i in range(num_blocks))


_VOCAB_SIZE = 262_144
_GLOBAL_ROPE_8 = Rope(1_000_000, 8.0)

PRESETS: dict[str, Config] = {
    # No published model: Gemma 3's order of layers, small enough to try everything in seconds.
    "tiny": Config(
        vocab_size=1024,
        width=96,
        mlp_width=192,
        num_heads=4,
        num_kv_heads=2,
        head_width=24,
        layer_kinds=gemma3_layer_kinds(7),
        window=12,
        query_pre_attn_scalar=24,
        context_length=4096,
    ),
    "gemma3-270m": Config(
        vocab_size=_VOCAB_SIZE,
        width=640,
        mlp_width=2048,
        num_heads=4,
        num_kv_heads=1,
        head_width=256,
        layer_kinds=gemma3_layer_kinds(18),
        window=512,
        query_pre_attn_scalar=256,
        context_length=32_768,
    ),
    "gemma3-1b": Config(
        vocab_size=_VOCAB_SIZE,
        width=1152,
        mlp_width=6912,
        num_heads=4,
        num_kv_heads=1,
        head_width=256,
        layer_kinds=gemma3_layer_kinds(26),
        window=512,
        query_pre_attn_scalar=256,
        context_length=32_768,
    ),
    "gemma3-4b": Config(
        vocab_size=_VOCAB_SIZE,
        width=2560,
        mlp_width=10_240,
        num_heads=8,
        num_kv_heads=4,
        head_width=256,
        layer_kinds=gemma3_layer_kinds(34),
        window=1024,
        query_pre_attn_scalar=256,
        global_rope=_GLOBAL_ROPE_8,
    ),
    "gemma3-12b": Config(
        vocab_size=_VOCAB_SIZE,
        width=3840,
        mlp_width=15_360,
        num_heads=16,
        num_kv_heads=8,
        head_width=256,
        layer_kinds=gemma3_layer_kinds(48),
        window=1024,
        query_pre_attn_scalar=256,
        global_rope=_GLOBAL_ROPE_8,
    ),
    "gemma3-27b": Config(
        vocab_size=_VOCAB_SIZE,
        width=5376,
        mlp_width=21_504,
        num_heads=32,
        num_kv_heads=16,
        head_width=128,
        layer_kinds=gemma3_layer_kinds(62),
        window=1024,
        # D / N, not the head width.
        query_pre_attn_scalar=168,
        global_rope=_GLOBAL_ROPE_8,
    ),
}
