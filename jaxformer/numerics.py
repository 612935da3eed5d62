"""The accepted ways to round, as a frozen (hashable, hence jit-static) dataclass, and profiles."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

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
