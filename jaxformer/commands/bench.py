"""`python -m jaxformer bench`: ratios to what people would use instead, side by side in one run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxformer.commands.arguments import OK, Command, Progress, integer, one_of
from jaxformer.commands.roofline import ENDINGS, draw_roofline
from jaxformer.config import PRESETS
from jaxformer.errors import UsageError
from jaxformer.numerics import FORMULATIONS

if TYPE_CHECKING:
    from jaxformer.commands.timing import Ceilings, Timing

_PEERS = ("official", "transformers-bfloat16", "transformers-float32")
_ROW = "{:>5} {:>6} {:<21} {:>9} {:>8} {:>7} {:>9} {:>8}"
_HEAD = _ROW.format(
    "batch", "prompt", "", "prefill x", "decode x", "first s", "prefill/s", "decode/s"
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", metavar="DIR|synthetic", default="synthetic", help="(default: synthetic)")
    add("--model", default="gemma3-1b", help=f"of synthetic weights: {'|'.join(PRESETS)}")
    add("--blocks", metavar="N", help="synthetic weights of the first N blocks alone")
    add("--prompt-lengths", metavar="T,…", default="16,512", help="(default: 16,512)")
    add("--batch", metavar="B,…", default="1", help="(default: 1)")
    add("--new", metavar="N", default="8", help="decoding steps of each run (default: 8)")
    add("--repeat", metavar="K", default="3", help="runs of each, alternating (default: 3)")
    add("--peers", default=",".join(_PEERS), help="which to run beside, or none (default: all)")
    add("--formulation", default="fast", help="|".join(FORMULATIONS))
    add("--dtype", default="bfloat16", help="bfloat16|float32 of ours and of the official model")
    add("--plot", metavar="FILE", help="draw the roofline, as .png, .svg or .pdf")


def _run(parsed: argparse.Namespace) -> int:
    lengths = _integers("--prompt-lengths", parsed.prompt_lengths)
    batches = _integers("--batch", parsed.batch)
    new, repeat = integer("--new", parsed.new, 2, 10_000), integer("--repeat", parsed.repeat, 1, 99)
    names = [] if parsed.peers == "none" else parsed.peers.split(",")
    for name in names:
        one_of("--peers", name, _PEERS)
    one_of("--formulation", parsed.formulation, FORMULATIONS)
    one_of("--dtype", parsed.dtype, ("bfloat16", "float32"))
    one_of("--model", parsed.model, tuple(PRESETS))
    if parsed.plot is not None:
        one_of("the ending of --plot", Path(parsed.plot).suffix, ENDINGS)
    if parsed.blocks is not None:
        if parsed.weights != "synthetic":
            raise UsageError("--blocks is for synthetic weights; a checkpoint is run whole")
        integer("--blocks", parsed.blocks, 1, PRESETS[parsed.model].num_blocks)
    progress = Progress()
    # Several processes share an accelerator: none may take all of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    import jax

    from jaxformer.checkpoint.synthetic import synthetic_tokens
    from jaxformer.commands.timing import (
        Subject,
        ceilings,
        flops_per_token,
        peak_bytes,
        read_per_token,
        reset_peak,
    )
    from jaxformer.fast.forms import measured_choice, read_choices
    from jaxformer.fast.layout import laid_out
    from jaxformer.machine import keep_compiled, machine

    keep_compiled()

    progress("ceilings: one large read, one large matmul")
    limits = ceilings()
    print(_ceiling_line(limits), flush=True)
    params, config, folder = _weights(parsed, progress)
    with contextlib.ExitStack() as stack:
        if names and folder is None:
            from jaxformer.checkpoint.safetensors import save_safetensors

            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "weights"
            progress("writing the weights for the others")
            save_safetensors(params, config, folder)
        if parsed.formulation == "fast":
            config = config.with_numerics(formulation="fast")
            params = laid_out(params, measured_choice(), consume=True)
            tuned = bool(read_choices())
            known = "as tuned here" if tuned else "by default; `python -m jaxformer tune` measures"
            progress(f"forms of products: {known}")
        ours = Subject(params, config)
        peers = {name: stack.enter_context(_Process(name, str(folder), progress)) for name in names}
        cells: list[dict[str, Any]] = []
        print(_HEAD, flush=True)
        for batch in batches:
            for length in lengths:
                tokens = synthetic_tokens(config, batch, length, 0)
                reset_peak()
                timings: dict[str, list[Timing]] = {"ours": [], **{name: [] for name in peers}}
                for i in range(repeat + 1):  # the first compiles
                    progress(f"batch {batch}, prompt of {length}: round {i} of {repeat}")
                    timings["ours"].append(ours.time(tokens, new))
                    for name, peer in peers.items():
                        timings[name].append(peer.time(tokens.tolist(), new))
                cell = _cell(batch, length, {k: v[1:] for k, v in timings.items()})
                cells.append({**cell, "peak_bytes": peak_bytes()})
                print("\n".join(_rows(cells[-1])), flush=True)  # a run cut short keeps these
    read, flops = read_per_token(params), flops_per_token(params)
    document = {
        "device": jax.devices()[0].device_kind,
        "machine": machine(),
        "formulation": parsed.formulation,
        "dtype": parsed.dtype,
        "ceilings": {"read": limits.read, "matmul": limits.matmul},
        "bytes_per_step": read,
        "flops_per_token": flops,
        "cells": cells,
    }
    print("\n".join(_utilisation(document)))
    print(json.dumps(document), flush=True)
    if parsed.plot is not None:
        draw_roofline(document, Path(parsed.plot))
    return OK


def _integers(name: str, text: str) -> list[int]:
    return [integer(name, part, 1, 1 << 20) for part in text.split(",")]


def _weights(parsed: argparse.Namespace, progress: Progress) -> tuple[Any, Any, Path | None]:
    from jaxformer.checkpoint.folder import open_checkpoint
    from jaxformer.checkpoint.synthetic import synthetic_params

    if parsed.weights == "synthetic":
        config = PRESETS[parsed.model]
        if parsed.blocks is not None:
            config = dataclasses.replace(
                config, layer_kinds=config.layer_kinds[: int(parsed.blocks)]
            )
        progress(f"weights: synthetic, {parsed.model}, {parsed.dtype}")
        return synthetic_params(config, 0, parsed.dtype), config, None
    checkpoint = open_checkpoint(parsed.weights)
    progress(f"weights: {parsed.weights}: {checkpoint.describe()}")
    folder = checkpoint.folder if checkpoint.format == "safetensors" else None
    params = checkpoint.load(parsed.dtype, progress=progress)
    return params, checkpoint.config, folder


class _Process:
    """A peer in a process of its own, which answers requests."""

    def __init__(self, name: str, folder: str, progress: Progress) -> None:
        self._name = name
        progress(f"{name}: starting")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jaxformer.commands.peers", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask({"folder": folder})

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def time(self, tokens: list[list[int]], new: int) -> Timing:
        from jaxformer.commands.timing import Timing

        answer = self._ask({"tokens": tokens, "new": new})
        return Timing(answer["prefill"], answer["steps"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise UsageError(
                f"{self._name} ended with status {self._process.wait()}, see above; leave it out "
                "by --peers"
            )
        reply: dict[str, Any] = json.loads(answer)
        return reply


def _cell(batch: int, length: int, timings: dict[str, list[Timing]]) -> dict[str, Any]:
    """Medians, and medians of the ratios of runs that stood side by side."""

    def figures(runs: Sequence[Timing]) -> dict[str, float]:
        return {
            "prefill_tokens_per_s": batch * length / statistics.median(r.prefill for r in runs),
            "first_token_s": statistics.median(r.prefill for r in runs),
            "decode_tokens_per_s": batch / statistics.median(r.step for r in runs),
        }

    def ratios(runs: Sequence[Timing]) -> dict[str, float]:
        pairs = list(zip(runs, timings["ours"], strict=True))
        return {
            "prefill": statistics.median(p.prefill / o.prefill for p, o in pairs),
            "decode": statistics.median(p.step / o.step for p, o in pairs),
        }

    return {
        "batch": batch,
        "prompt": length,
        "ours": figures(timings["ours"]),
        "peers": {
            name: {**figures(runs), "ours_faster": ratios(runs)}
            for name, runs in timings.items()
            if name != "ours"
        },
    }


def _ceiling_line(limits: Ceilings) -> str:
    flops = ", ".join(f"{dtype} {rate / 1e9:.0f}" for dtype, rate in limits.matmul.items())
    return f"ceilings: read {limits.read / 1e9:.1f} GB/s; matmul GFLOP/s: {flops}"


def _rows(cell: dict[str, Any]) -> Iterator[str]:
    """Ratios first: how many times as fast as each peer ours is."""
    rows: list[tuple[str, dict[str, Any]]] = [("ours", cell["ours"]), *cell["peers"].items()]
    for name, found in rows:
        ratio = found.get("ours_faster")
        shown = ["", ""] if ratio is None else [f"{ratio[k]:.2f}" for k in ratio]
        absolute = [f"{found['first_token_s']:.3g}"] + [
            f"{found[rate]:.1f}" for rate in ("prefill_tokens_per_s", "decode_tokens_per_s")
        ]
        yield _ROW.format(cell["batch"], cell["prompt"], name, *shown, *absolute)


def _utilisation(document: dict[str, Any]) -> Iterator[str]:
    """How near the ceilings ours comes."""
    limits = document["ceilings"]
    for cell in document["cells"]:
        ours = cell["ours"]
        steps = ours["decode_tokens_per_s"] / cell["batch"]
        read = steps * document["bytes_per_step"] / limits["read"]
        flops = ours["prefill_tokens_per_s"] * document["flops_per_token"]
        work = flops / max(limits["matmul"].values())
        cell["decode_share_of_read"], cell["prefill_share_of_matmul"] = read, work
        above = cell["peak_bytes"] - document["bytes_per_step"]
        shape = f"batch {cell['batch']}, prompt of {cell['prompt']}"
        yield f"{shape}: decoding reads weights at {read:.0%} of the read ceiling;"
        yield (
            f"  prefill does {work:.0%} of the matmul ceiling; "
            f"peak memory {above / 1e9:.2f} GB above the weights"
        )


BENCH = Command("measure prefill and decoding beside other implementations", _add_arguments, _run)
