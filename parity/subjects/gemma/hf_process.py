"""transformers on torch in a process of its own: one forward pass, its frames in a trace folder.

    python -m parity.subjects.gemma.hf_process REQUEST.json

`parity.subjects.gemma.hf_torch` starts it and says in the request what to run. It answers on
stdout, a JSON object per line: `progress`, `note`, or what went wrong: `missing` packages, `error`.
No JAX here, so that neither framework sees the other's threads and settings.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from parity.errors import RequestError
from parity.subjects.gemma.hf_taps import FrameLedger, expected_frames, to_numpy, watching
from parity.trace.disk import DiskSink
from parity.trace.manifest import Manifest

TRACE_FOLDER, CERTIFICATE = "trace", "certificate.safetensors"
_PADDING_ID = 0
_MODEL_TYPES = ("gemma3_text", "gemma3")
# A checkpoint of the multimodal model calls the text part's tensors so.
_RENAMED = {r"^language_model\.model\.": "model.", r"^model\.language_model\.": "model."}

Say = Callable[[str, str], None]


def main(arguments: list[str]) -> int:
    """Run a request; returns the exit status."""
    say = _channel()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    say("progress", "importing")
    try:
        import torch
        import transformers
    except ImportError as error:
        say("missing", str(error))
        return 2
    try:
        _run(torch, transformers, json.loads(Path(arguments[0]).read_text(encoding="utf-8")), say)
    except RequestError as error:
        say("error", str(error))
        return 2
    return 0


def _run(torch: Any, transformers: Any, request: dict[str, Any], say: Say) -> None:
    say("progress", f"loading {request['folder']} in {request['dtype']}")
    model = _load(transformers, getattr(torch, request["dtype"]), request)
    tokens = np.asarray(request["tokens"], np.int64)
    given, note = _model_inputs(torch, model, tokens)
    if note:
        say("note", note)
    forward = model if request["whole"] else model.model

    def run() -> Any:
        with torch.no_grad():
            result = forward(**given, use_cache=False)
        return result.logits if request["whole"] else result.last_hidden_state

    out = Path(request["out"])
    specs = expected_frames(
        model.config,
        tokens.shape,
        request["vocab_size"],
        request["dtype"],
        whole=request["whole"],
        select=request["select"],
    )
    say("progress", f"running {model.config.num_hidden_layers} blocks, {len(specs)} taps")
    with DiskSink(out / TRACE_FOLDER, Manifest.from_json(request["manifest"])) as sink:
        ledger = FrameLedger(specs, sink)
        with watching(model, ledger.put, request["vocab_size"]):
            tapped = run()
        ledger.settle()
    if request["certify"]:
        say("progress", "running without taps, to certify")
        outputs = {"tapped": to_numpy(tapped), "untapped": to_numpy(run())}
        safetensors.numpy.save_file(outputs, out / CERTIFICATE)


def _load(transformers: Any, dtype: Any, request: dict[str, Any]) -> Any:
    """The text model's first blocks, every one of its tensors from the folder.

    Raises:
      RequestError: no Gemma 3 folder, fewer blocks or rows than asked for, or a tensor that is
        missing or of another shape.
    """
    folder, blocks = request["folder"], request["blocks"]
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"transformers can't read {folder}/config.json: {error}") from error
    if config.model_type not in _MODEL_TYPES:
        raise RequestError(f"{folder} is of type {config.model_type!r}, expected Gemma 3")
    config = config.get_text_config()
    if config.num_hidden_layers < blocks:
        raise RequestError(
            f"{folder} has {config.num_hidden_layers} blocks, {blocks} are asked for"
        )
    if config.vocab_size < request["vocab_size"]:
        raise RequestError(
            f"{folder} has a vocabulary of {config.vocab_size}, the model {request['vocab_size']}"
        )
    config.layer_types = config.layer_types[:blocks]
    config.num_hidden_layers = blocks
    try:
        model, found = transformers.Gemma3ForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation="eager",
            use_safetensors=True,  # never a pickle
            local_files_only=True,
            key_mapping=_RENAMED,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise RequestError(f"transformers can't load {folder}: {error}") from error
    # It would go on with random numbers instead.
    unloaded = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if unloaded:
        raise RequestError(
            f"{folder} has not every tensor of the model: {len(unloaded)} are missing or of "
            f"another shape, {unloaded[0]} first"
        )
    return model.eval()


def _model_inputs(torch: Any, model: Any, tokens: np.ndarray) -> tuple[dict[str, Any], str]:
    """What the model is given, and a note where that is not what its users give.

    Positions count valid tokens, and padding is no key. transformers makes its own masks of that,
    except where it would count a window's rows and so take padding into the count.
    """
    valid = tokens != _PADDING_ID
    positions = np.cumsum(valid, axis=-1) - 1
    rows = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    window = model.config.sliding_window
    own = {
        "input_ids": torch.from_numpy(tokens),
        "position_ids": torch.from_numpy(np.maximum(positions, 0)),
    }
    masks = {
        "full_attention": _visible(positions, valid, None),
        "sliding_attention": _visible(positions, valid, window),
    }
    if all(
        np.array_equal(masks[kind], _visible(rows, valid, width))
        for kind, width in (("full_attention", None), ("sliding_attention", window))
        if kind in model.config.layer_types
    ):
        return {**own, "attention_mask": torch.from_numpy(valid.astype(np.int64))}, ""
    lowest = torch.finfo(model.dtype).min
    prepared = {
        kind: torch.where(torch.from_numpy(mask)[:, None], 0.0, lowest).to(model.dtype)
        for kind, mask in masks.items()
    }
    return {**own, "attention_mask": prepared}, (
        f"transformers would count padding into the window of {window}: it was given masks that "
        "count positions, so its own masks were not tried"
    )


def _visible(places: np.ndarray, valid: np.ndarray, window: int | None) -> np.ndarray:
    """[B T S] bool: valid keys at or before the query, the last `window` of them."""
    query, key = places[:, :, None], places[:, None, :]
    mask: np.ndarray = valid[:, None, :] & (key <= query)
    return mask if window is None else mask & (key > query - window)


def _channel() -> Say:
    """A way to answer on stdout; what else is printed there goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(kind: str, text: str) -> None:
        answers.write(json.dumps({kind: text}) + "\n")
        answers.flush()

    return say


def _die_with_parent() -> None:
    """The parent holds the other end of stdin: it closes when the parent is gone, however."""
    os.read(0, 1)  # not through sys.stdin, whose lock this thread would hold at exit
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
