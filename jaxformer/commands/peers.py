"""`python -m jaxformer.commands.peers NAME`: another implementation, to be timed beside ours.

Reads a JSON request a line, `{"tokens": [[…]], "new": N}`, and answers each with
`{"prefill": seconds, "steps": [seconds, …]}`. Weights are a Hugging Face folder, named in the first
line: `{"folder": …}`. Used by `python -m jaxformer bench`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from jaxformer.commands.arguments import OK, run_command

# Prefills tokens and decodes so many: seconds of the one, and of each of the others.
Peer = Callable[[list[list[int]], int], tuple[float, list[float]]]


def official(folder: str) -> Peer:
    """The Flax package: its cached forward pass, jitted, the cache donated, last logits only."""
    import jax
    import jax.numpy as jnp

    from jaxformer.checkpoint.folder import open_checkpoint
    from jaxformer.official import converted_config, import_gemma, official_params

    gm = import_gemma()
    checkpoint = open_checkpoint(folder)
    params = checkpoint.load()
    config = converted_config(checkpoint.config, checkpoint.config.num_blocks)
    dtype = params.embedding.dtype
    model, variables = gm.nn.Transformer(config=config, dtype=dtype), official_params(params)

    def forward(variables: Any, tokens: Any, at: Any, cache: Any) -> Any:
        length, slots = tokens.shape[1], cache["layer_0"]["k"].shape[1]
        positions = jnp.broadcast_to(at + jnp.arange(length), tokens.shape)
        mask = jnp.arange(slots)[None, None, :] <= positions[:, :, None]
        out = model.apply(
            variables,
            tokens,
            positions=positions,
            cache=cache,
            attention_mask=mask,
            return_last_only=True,
        )
        return out.logits.reshape(tokens.shape[0], -1).argmax(axis=-1)[:, None], out.cache

    step = jax.jit(forward, donate_argnums=3)

    def run(tokens: list[list[int]], new: int) -> tuple[float, list[float]]:
        given = jnp.asarray(tokens, jnp.int32)
        batch, length = given.shape
        cache = config.init_cache(batch, dtype, cache_length=length + new)
        start = time.perf_counter()
        token, cache = step(variables, given, jnp.int32(0), cache)
        token.block_until_ready()
        prefill, steps = time.perf_counter() - start, []
        for i in range(new):
            start = time.perf_counter()
            token, cache = step(variables, token, jnp.int32(length + i), cache)
            token.block_until_ready()
            steps.append(time.perf_counter() - start)
        return prefill, steps

    return run


def transformers(folder: str, dtype: str) -> Peer:
    """transformers on torch, its default attention and cache, last logits only."""
    import torch
    from transformers import Gemma3ForCausalLM

    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any = Gemma3ForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.to(where)
    wait = torch.cuda.synchronize if where.type == "cuda" else lambda: None

    def run(tokens: list[list[int]], new: int) -> tuple[float, list[float]]:
        given = torch.tensor(tokens, device=where)
        with torch.inference_mode():
            start = time.perf_counter()
            out = model(given, use_cache=True, logits_to_keep=1)
            token = out.logits[:, -1].argmax(-1, keepdim=True)
            wait()
            prefill, steps = time.perf_counter() - start, []
            for _ in range(new):
                start = time.perf_counter()
                out = model(token, cache=out.cache, use_cache=True, logits_to_keep=1)
                token = out.logits[:, -1].argmax(-1, keepdim=True)
                wait()
                steps.append(time.perf_counter() - start)
        return prefill, steps

    return run


PEERS: dict[str, Callable[[str], Peer]] = {
    "official": official,
    "transformers-bfloat16": lambda folder: transformers(folder, "bfloat16"),
    "transformers-float32": lambda folder: transformers(folder, "float32"),
}


def main() -> int:
    """Serve requests until stdin ends; the exit status."""
    return run_command(sys.argv[1], _serve, sys.argv[1:])


def _serve(arguments: list[str]) -> int:
    out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    run = PEERS[arguments[0]](json.loads(sys.stdin.readline())["folder"])
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        prefill, steps = run(request["tokens"], request["new"])
        print(json.dumps({"prefill": prefill, "steps": steps}), file=out, flush=True)
    return OK


if __name__ == "__main__":
    sys.exit(main())
