"""Names for what flows through transformers' Gemma 3, and the ledger of its frames.

Outputs and inputs of modules are seen by hooks. RoPE and attention are plain functions of the
modeling module: while it runs, wrappers that look at their results stand in their places.
"""

from __future__ import annotations

import contextlib
import fnmatch
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np

from jaxformer.taps import model_taps
from parity.errors import RequestError
from parity.trace.frames import Frame, FrameSpec, Sink

Put = Callable[[str, Any], None]
# path of a module inside its layer -> the tap of its output as it is
_OUTPUTS = {
    "input_layernorm": "pre_attention_norm",
    "self_attn.o_proj": "attn.output",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "pre_ffw_norm",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp": "mlp.output",
    "post_feedforward_layernorm": "post_ffw_norm",
    "": "output",
}
# … whose last axis holds heads
_HEADS = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
}
# … whose heads come before the positions
_TURNED = {"self_attn.q_norm": "attn.query_norm", "self_attn.k_norm": "attn.key_norm"}
# … -> the tap of its input
_INPUTS = {"": "input", "pre_feedforward_layernorm": "attn_residual"}


def expected_frames(
    config: Any, tokens: tuple[int, int], vocab_size: int, dtype: str, *, whole: bool, select: str
) -> list[FrameSpec]:
    """The selected taps of a run, in execution order.

    Args:
      config: transformers' text config; every block of it is run.
      tokens: B and T.
      whole: final norm and logits are taps.
      select: comma-separated glob patterns.

    Raises:
      RequestError: no tap is selected.
    """
    sizes = {
        **dict(zip("BT", tokens, strict=True)),
        "S": tokens[1],
        "D": config.hidden_size,
        "F": config.intermediate_size,
        "N": config.num_attention_heads,
        "K": config.num_key_value_heads,
        "H": config.head_dim,
        "V": vocab_size,
    }
    patterns = [pattern.strip() for pattern in select.split(",")]
    chosen = [
        point
        for point in model_taps(config.num_hidden_layers, whole=whole)
        if any(fnmatch.fnmatchcase(point.name, pattern) for pattern in patterns)
    ]
    if not chosen:
        raise RequestError(f"no tap is selected by {select!r}; it has 'embed', 'blocks.0.input' …")
    return [
        FrameSpec(index, point.name, point.shape(sizes), dtype)
        for index, point in enumerate(chosen)
    ]


class FrameLedger:
    """Hands expected frames to a sink; each must come once, in its place, in its shape."""

    def __init__(self, specs: Sequence[FrameSpec], sink: Sink) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._sink = sink
        self._next = 0
        sink.begin(specs)

    def put(self, name: str, value: Any) -> None:
        """Take a torch tensor; one that is not expected is passed over."""
        spec = self._specs.get(name)
        if spec is None:
            return
        if spec.index != self._next or spec.shape != tuple(value.shape):
            raise RequestError(
                f"this transformers computes in another way: {name!r} came as frame {self._next} "
                f"of shape {list(value.shape)}, expected frame {spec.index} of {list(spec.shape)}"
            )
        self._next += 1
        self._sink.put(Frame(spec, to_numpy(value)))

    def settle(self) -> None:
        """Every frame came.

        Raises:
          RequestError: the run is over and one is missing.
        """
        missing = [spec.name for spec in self._specs.values() if spec.index >= self._next]
        if missing:
            raise RequestError(
                f"this transformers computes in another way: {missing[0]!r} never came"
            )


@contextlib.contextmanager
def watching(model: Any, put: Put, vocab_size: int) -> Iterator[None]:
    """Within this context, what a Gemma3ForCausalLM computes goes to `put` under its tap's name.

    Args:
      vocab_size: columns of the logits that are of interest; the rest pads the table.
    """
    modeling = sys.modules[type(model).__module__]
    handles: list[Any] = []
    running = ""  # prefix of the block that is being run

    def see(module: Any, name: str, arrange: Callable[[Any], Any] = _as_it_is) -> None:
        def hook(_module: Any, _arguments: Any, output: Any) -> None:
            put(name, arrange(output))

        handles.append(module.register_forward_hook(hook))

    def see_input(module: Any, name: str) -> None:
        def hook(_module: Any, arguments: Any) -> None:
            put(name, arguments[0])

        handles.append(module.register_forward_pre_hook(hook))

    def enter(layer: Any, prefix: str) -> None:
        def hook(_module: Any, _arguments: Any) -> None:
            nonlocal running
            running = prefix

        handles.append(layer.register_forward_pre_hook(hook))

    def rotated(*arguments: Any, **keywords: Any) -> Any:
        query, key = rope(*arguments, **keywords)
        put(f"{running}attn.query_rope", query.transpose(1, 2))
        put(f"{running}attn.key_rope", key.transpose(1, 2))
        return query, key

    def attended(*arguments: Any, **keywords: Any) -> Any:
        encoded, probabilities = attention(*arguments, **keywords)
        put(f"{running}attn.probs", probabilities.transpose(1, 2))
        put(f"{running}attn.encoded", encoded)
        return encoded, probabilities

    head_width = model.config.head_dim
    see(model.model.embed_tokens, "embed")
    for i, layer in enumerate(model.model.layers):
        prefix = f"blocks.{i}."
        enter(layer, prefix)
        for path, tap in _INPUTS.items():
            see_input(layer.get_submodule(path), prefix + tap)
        for path, tap in _OUTPUTS.items():
            see(layer.get_submodule(path), prefix + tap)
        for path, tap in _HEADS.items():
            see(
                layer.get_submodule(path), prefix + tap, lambda x: x.unflatten(-1, (-1, head_width))
            )
        for path, tap in _TURNED.items():
            see(layer.get_submodule(path), prefix + tap, lambda x: x.transpose(1, 2))
    see(model.model.norm, "final_norm")
    see(model.lm_head, "logits", lambda x: x[..., :vocab_size])
    rope, attention = modeling.apply_rotary_pos_emb, modeling.eager_attention_forward
    try:
        with (
            mock.patch.object(modeling, "apply_rotary_pos_emb", rotated),
            mock.patch.object(modeling, "eager_attention_forward", attended),
        ):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _as_it_is(value: Any) -> Any:
    return value


def to_numpy(tensor: Any) -> np.ndarray:
    """A copy of a torch tensor in row-major order; bfloat16 is taken by its bits."""
    import torch

    if tensor.dtype != torch.bfloat16:
        return np.array(tensor.detach().numpy(), order="C")
    bits = tensor.detach().view(torch.int16).numpy()
    return np.array(bits, order="C").view(ml_dtypes.bfloat16)
