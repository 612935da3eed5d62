"""The official Flax `gemma` package as a source, on jaxformer's parameters.

The whole model is jitted, as its users run it. `Transformer.__call__` is itself wrapped in
`nn.jit`, whose cache doesn't know about interceptors, so the method inside that wrapper is what is
traced here, within one `jax.jit` of our own: a new program every time. Values that pass between
modules are seen by a flax interceptor. RoPE is a plain function: while the model is traced, the
module that calls it sees a namespace in which that function is tapped. The residual after attention
is a plain sum: the norm before it hands over a stand-in whose addition is tapped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from jaxformer.params import BlockParams, Params
from parity.program.stages import Stage
from parity.sides.function import FunctionSide
from parity.subjects.gemma.gemma_package import block_params, import_gemma, official_params
from parity.trace.manifest import Manifest
from parity.trace.recorder import NumericsMode

# path of a module inside its block -> the tap of its output
_OUTPUTS = {
    "pre_attention_norm": "pre_attention_norm",
    "attn/q_einsum": "attn.query",
    "attn/_query_norm": "attn.query_norm",
    "attn/_key_norm": "attn.key_norm",
    "attn/attention_weights": "attn.probs",
    "attn/attn_vec_einsum": "attn.output",
    "pre_ffw_norm": "pre_ffw_norm",
    "mlp": "mlp.output",
    "post_ffw_norm": "post_ffw_norm",
}

# path of a module inside its block -> the tap of one of its arguments, and which
_INPUTS = {
    "": ("input", 0),
    "attn/attn_vec_einsum": ("attn.encoded", 1),
}

# Replacing the RoPE function of a shared module is not for two threads at once.
_TRACING = threading.Lock()


def flax_gemma_side(
    params: Params,
    tokens: jax.Array,
    config: Any,
    manifest: Manifest,
    *,
    numerics: NumericsMode = "default",
    select: str = "*",
    whole: bool = True,
) -> FunctionSide:
    """The official model, its output the logits, or the final hidden states of a cut model.

    Args:
      params: jaxformer's, shared, not copied.
      tokens: [B T] int32.
      config: the official package's, from `preset_config` or `converted_config`.
      manifest: of the run; `source` and the package's versions are filled in.
      whole: False where blocks were cut off: final norm and logits are then no taps.

    Raises:
      UsageError: the package is not usable.
    """
    gm = import_gemma()
    model = gm.nn.Transformer(config=config, dtype=params.embedding.dtype)

    def result(output: Any) -> jax.Array:
        array: jax.Array = output.logits if whole else output.hidden_states
        return array

    def tapped(params: Params, tokens: jax.Array, *, tap: Any) -> jax.Array:
        variables, inner = official_params(params), gm.nn.Transformer.__call__.__wrapped__
        with _tapping(tap, whole=whole):
            return result(model.apply(variables, tokens, return_hidden_states=True, method=inner))

    def untapped(params: Params, tokens: jax.Array, *, tap: Any) -> jax.Array:
        del tap
        return result(model.apply(official_params(params), tokens, return_hidden_states=True))

    versions = {name: importlib.metadata.version(name) for name in ("gemma", "flax")}
    return FunctionSide(
        "official",
        tapped,
        (params, tokens),
        dataclasses.replace(
            manifest,
            source=f"gemma {versions['gemma']}",
            versions={**manifest.versions, **versions},
        ),
        select=select,
        numerics=numerics,
        untapped=untapped,
        stages=_stages(model, params, tokens, whole=whole),
    )


def _stages(model: Any, params: Params, tokens: jax.Array, *, whole: bool) -> list[Stage]:
    """The official modules one by one, on the package's own positions and masks."""
    from gemma.gm.utils import _types

    def embedding(table: jax.Array, tokens: jax.Array, *, tap: Any) -> jax.Array:
        variables = {"params": {"embedder": {"input_embedding": table}}}
        with _tapping(tap, whole=whole):
            return model.apply(variables, tokens, method=lambda m, ids: m.embedder.encode(ids))

    def one_block(
        number: int, params: BlockParams, tokens: jax.Array, x: jax.Array, *, tap: Any
    ) -> jax.Array:
        given = _types.Input(text=tokens, images=None, config=model.config.input_config)

        def call(model: Any, x: jax.Array) -> jax.Array:
            return model.blocks[number](x, given.positions, None, given.attention_mask)[1]

        variables = {"params": {f"layer_{number}": block_params(params)}}
        with _tapping(_without_prefix(tap, f"blocks.{number}."), whole=whole):
            return model.apply(variables, x, method=call)

    def head(scale: jax.Array, table: jax.Array, x: jax.Array, *, tap: Any) -> jax.Array:
        leaves = {"final_norm": {"scale": scale}, "embedder": {"input_embedding": table}}
        with _tapping(tap, whole=whole):
            return model.apply(
                {"params": leaves}, x, method=lambda m, x: m.embedder.decode(m.final_norm(x))
            )

    stages = [Stage("", "embed", embedding, (params.embedding, tokens), taps=("embed",))]
    for i, kind in enumerate(model.config.attention_types):
        run = functools.partial(one_block, i)
        prefix = f"blocks.{i}."
        stages.append(Stage(prefix, kind.name, run, (params.blocks[i], tokens), f"{prefix}input"))
    if whole:
        last = f"blocks.{len(params.blocks) - 1}.output"
        own = (params.final_norm, params.embedding)
        stages.append(Stage("", "head", head, own, last, taps=("final_norm", "logits")))
    return stages


def _without_prefix(tap: Any, prefix: str) -> Any:
    return lambda name, value: tap(name.removeprefix(prefix), value)


@contextlib.contextmanager
def _tapping(tap: Any, *, whole: bool) -> Iterator[None]:
    """While the official model is traced in this context, its values pass through `tap`."""
    from flax import linen as nn
    from gemma.gm.nn import _modules

    watcher = _Watcher(tap, whole, _modules._positional_embeddings.apply_rope)
    rope = types.SimpleNamespace(apply_rope=watcher.apply_rope)
    with (
        _TRACING,
        nn.intercept_methods(watcher.intercept),
        mock.patch.object(_modules, "_positional_embeddings", rope),
    ):
        yield


class _Addend:
    """What is added to the residual stream, and a tap for the sum."""

    def __init__(self, value: jax.Array, tap: Callable[[jax.Array], jax.Array]) -> None:
        self._value = value
        self._tap = tap

    def __add__(self, residual: jax.Array) -> jax.Array:
        return self._tap(self._value + residual)


class _Watcher:
    """Maps what flows through the official modules to tap names."""

    def __init__(self, tap: Any, whole: bool, apply_rope: Callable[..., jax.Array]) -> None:
        self._tap = tap
        self._whole = whole
        self._apply_rope = apply_rope
        self._roped: list[str] = []  # what the attention being traced has still to rotate

    def intercept(self, call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        """A flax interceptor: `call` is the method, `context` says of which module."""
        module, method = context.module, context.method_name
        top, _, rest = "/".join(module.path).partition("/")
        if top == "embedder":
            name = {"encode": "embed", "decode": "logits"}.get(method)
            value = call(*args, **kwargs)
            wanted = name == "embed" or (name == "logits" and self._whole)
            return self._tap(name, value) if wanted else value
        if method != "__call__" or not top:
            return call(*args, **kwargs)
        if top == "final_norm":
            value = call(*args, **kwargs)
            return self._tap("final_norm", value) if self._whole else value
        block = f"blocks.{top.removeprefix('layer_')}"
        return self._block_module(block, rest, module, call, args, kwargs)

    def _block_module(
        self, block: str, path: str, module: Any, call: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        if getattr(module, "weight_name", "w") != "w":  # the two einsums that share the MLP's scope
            value = call(*args, **kwargs)
            if module.weight_name == "gating_einsum":
                halves = [value[..., 0, :], value[..., 1, :]]
                passed = self._taps([f"{block}.mlp.gate", f"{block}.mlp.up"], halves)
                return value if passed is None else jnp.stack(passed, axis=-2)
            return value
        if path in _INPUTS:
            name, position = _INPUTS[path]
            tapped = self._tap(f"{block}.{name}", args[position])
            args = (*args[:position], tapped, *args[position + 1 :])
        if path == "attn":
            self._roped = [f"{block}.attn.query_rope", f"{block}.attn.key_rope"]
        value = call(*args, **kwargs)
        if path == "":
            cache, output = value
            return cache, self._tap(f"{block}.output", output)
        if path == "attn/kv_einsum":
            passed = self._taps([f"{block}.attn.key", f"{block}.attn.value"], list(value))
            value = value if passed is None else passed
        if path == "post_attention_norm":
            value = self._tap(f"{block}.post_attention_norm", value)
            return _Addend(value, functools.partial(self._tap, f"{block}.attn_residual"))
        if path in _OUTPUTS:
            value = self._tap(f"{block}.{_OUTPUTS[path]}", value)
        return value

    def _taps(self, names: list[str], parts: list[jax.Array]) -> list[jax.Array] | None:
        """Tap parts of one value; None if all pass unchanged, so that the value itself can too."""
        passed = [self._tap(name, part) for name, part in zip(names, parts, strict=True)]
        return None if all(a is b for a, b in zip(passed, parts, strict=True)) else passed

    def apply_rope(self, *args: Any, **kwargs: Any) -> jax.Array:
        """RoPE of the query, then of the key, as the attention module calls it."""
        value: jax.Array = self._tap(self._roped.pop(0), self._apply_rope(*args, **kwargs))
        return value
