"""RoPE of a Hugging Face config: one base and factor for local layers, another for global ones."""

from __future__ import annotations

from typing import Any

from jaxformer.hf_config.fields import Fields, shown

LOCAL, GLOBAL = "sliding_attention", "full_attention"
# layer type -> the older schema's field for its base, and the default base
_BASES = {LOCAL: ("rope_local_base_freq", 10_000), GLOBAL: ("rope_theta", 1_000_000)}
_KNOWN = {"rope_type", "type", "rope_theta", "factor"}
_MOST = 1e12


def ropes(fields: Fields) -> tuple[tuple[int, float], tuple[int, float]]:
    """(base, factor) of local and of global layers; contradictions are added as problems."""
    per_layer = fields.part("rope_parameters")
    for name in per_layer.names():
        if name not in _BASES:
            per_layer.problem(f"{shown(name)} is not known: there are {LOCAL} and {GLOBAL}")
    return _rope(fields, per_layer, LOCAL), _rope(fields, per_layer, GLOBAL)


def rope_json(local: tuple[int, float], globals_: tuple[int, float]) -> dict[str, Any]:
    """Both schemas' fields. The older can't say a factor of local layers, and leaves it out."""
    scaled = {"rope_type": "linear", "factor": globals_[1]}
    return {
        "rope_local_base_freq": local[0],
        "rope_theta": globals_[0],
        "rope_scaling": scaled if globals_[1] != 1 else None,
        "rope_parameters": {LOCAL: _parameters(*local), GLOBAL: _parameters(*globals_)},
    }


def _parameters(base: int, factor: float) -> dict[str, Any]:
    scaling = {"rope_type": "linear", "factor": factor} if factor != 1 else {"rope_type": "default"}
    return {"rope_theta": base, **scaling}


def _rope(fields: Fields, per_layer: Fields, kind: str) -> tuple[int, float]:
    old_name, default = _BASES[kind]
    old_base = _base(fields, old_name, default)
    own = per_layer.part(kind)
    base = _base(own, "rope_theta", old_base)
    if fields.get(old_name) is not None and base != old_base:
        fields.problem(f"{old_name} {old_base} contradicts rope_parameters.{kind}, {base}")
    factor = _factor(own)
    if kind == GLOBAL and fields.get("rope_scaling") is not None:
        old_factor = _factor(fields.part("rope_scaling"))
        if per_layer.get(kind) is not None and factor != old_factor:
            fields.problem(
                f"rope_scaling, factor {old_factor}, contradicts rope_parameters.{kind}, {factor}"
            )
        factor = old_factor
    return base, factor


def _base(fields: Fields, name: str, default: int) -> int:
    value = fields.number(name, default, least=1, most=_MOST)
    if value != int(value):
        fields.problem(f"{name} must be a whole number, got {shown(value)}")
        return default
    return int(value)


def _factor(fields: Fields) -> float:
    for name in fields.names():
        if name not in _KNOWN:
            fields.problem(f"{shown(name)} is not known: there are {', '.join(sorted(_KNOWN))}")
    # `type` is the older name; transformers wrote both for a while.
    kind = fields.get("rope_type", fields.get("type", "default"))
    if fields.get("type", kind) != kind:
        fields.problem(f"rope_type {shown(kind)} and type {shown(fields.get('type'))} differ")
    factor = fields.number("factor", 1.0, least=1, most=_MOST)
    if kind not in ("default", "linear"):
        fields.problem(f"rope_type must be default or linear, got {shown(kind)}")
    elif kind == "linear" and fields.get("factor") is None:
        fields.problem("factor is missing, which rope_type linear needs")
    elif kind == "default" and factor != 1:
        fields.problem(f"factor {factor} needs rope_type linear")
    return float(factor)
