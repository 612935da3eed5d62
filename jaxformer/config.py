"""Model shapes and numerics choices, as frozen (hashable, hence jit-static) dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args, get_type_hints

from jaxformer.hf_config import HfConfig, hf_config_json, parse_hf_config

LayerKind = Literal["local", "global"]
ArithmeticDType = Literal["input", "float32"]
Gating = Literal["fused", "split", "stacked", "concatenated"]
QueryScaling = Literal["query", "logits"]
Formulation = Literal["exact", "fast"]
FORMULATIONS: tuple[Formulation, ...] = get_args(Formulation)
# Fields of Numerics in which the fast formulation leaves no choice.
_DECIDED_BY_FAST = ("softmax_dtype", "gating", "gelu_dtype", "query_scaling")


@dataclass(frozen=True)
class Numerics:
    """Every choice that changes rounding but not the mathematics (epsilon aside).

    Attributes:
      rms_norm_eps: added to the mean square inside the inverse square root.
      norm_dtype: arithmetic of RMSNorm, `1 + scale` included; `input` is the activations' dtype.
      softmax_dtype: arithmetic of the attention softmax; probabilities are cast back afterwards.
      rope_dtype: `float32` rotates in float32 and casts once; `input` casts sin and cos first.
      gating: formulation of the MLP's gate and up projections (see `layers.gate_and_up`).
      gelu_dtype: arithmetic of the GELU; its result is cast back before it meets `up`.
      query_scaling: the query is scaled before the dot product, or the logits after it, in float32.
      formulation: `exact` computes as the official package does; `fast` computes attention in
        pieces that leave out what the mask discards, on weights laid out in rows, and rounds what
        enters the MLP's output projection once. `softmax_dtype`, `gating`, `gelu_dtype` and
        `query_scaling` are then not for the caller to choose: fast decides them by shape.

    Raises:
      ValueError: a value that its field doesn't take, or one that the formulation doesn't honour.
    """

    rms_norm_eps: float = 1e-6
    norm_dtype: ArithmeticDType = "input"
    softmax_dtype: ArithmeticDType = "input"
    rope_dtype: ArithmeticDType = "float32"
    gating: Gating = "fused"
    gelu_dtype: ArithmeticDType = "input"
    query_scaling: QueryScaling = "query"
    formulation: Formulation = "exact"

    def __post_init__(self) -> None:
        for name, allowed in NUMERICS_CHOICES.items():
            value = getattr(self, name)
            if allowed is None:
                # NaN fails the comparison too.
                if not (isinstance(value, float | int) and 0 <= value < float("inf")):
                    raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
            elif value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
        if self.formulation == "fast":
            self._refuse_what_fast_decides()

    def _refuse_what_fast_decides(self) -> None:
        given = [
            f"{field.name}={value}"
            for field in dataclasses.fields(self)
            if field.name in _DECIDED_BY_FAST
            and (value := getattr(self, field.name)) != field.default
        ]
        if given:
            raise ValueError(
                f"formulation=fast does not honour {', '.join(given)}; leave "
                f"{'it' if len(given) == 1 else 'them'} out, or choose formulation=exact"
            )


# field name -> its accepted words, or None for a non-negative number
NUMERICS_CHOICES: dict[str, tuple[str, ...] | None] = {
    name: get_args(hint) or None for name, hint in get_type_hints(Numerics).items()
}

NUMERICS_PROFILES: dict[str, Numerics] = {
    # What the Flax `gemma` package does.
    "official": Numerics(),
    # What transformers does.
    "hf": Numerics(
        norm_dtype="float32",
        softmax_dtype="float32",
        rope_dtype="input",
        gating="split",
        gelu_dtype="float32",
        query_scaling="logits",
    ),
}


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
