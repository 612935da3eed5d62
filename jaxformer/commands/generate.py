"""`python -m jaxformer generate`: prompts in, text out, as it comes."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from jaxformer.commands.arguments import OK, Command, Progress, integer, number, one_of, token_rows
from jaxformer.config import PRESETS
from jaxformer.errors import UsageError
from jaxformer.numerics import FORMULATIONS

if TYPE_CHECKING:
    from jaxformer.gemma import Gemma
    from jaxformer.sampling import Sampling

_DTYPES = ("bfloat16", "float32")
_DEFAULT_MODEL = "gemma3-1b"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", metavar="DIR|synthetic[:SEED]", required=True, help="checkpoint folder")
    add("--model", help=f"of synthetic weights: {'|'.join(PRESETS)} (default: {_DEFAULT_MODEL})")
    add("--prompt", metavar="TEXT", action="append", help="repeat for a batch; - reads stdin")
    add("--tokens", metavar="2,818,…", help="token ids instead; ';' between rows; prints ids")
    add("--tokenizer", metavar="PATH", help="tokenizer file or folder (default: in --weights)")
    add("--chat", action=argparse.BooleanOptionalAction, help="turn format for chat models "
        "(default: where the folder has a chat template)")  # fmt: skip
    add("--max-new-tokens", metavar="N", default="256", help="per prompt (default: 256)")
    add("--temperature", metavar="X", default="0", help="0, the default, is greedy")
    add("--top-k", metavar="K", help="draw among the K most likely tokens")
    add("--top-p", metavar="P", help="draw among the likeliest that sum to P")
    add("--seed", metavar="S", default="0", help="of the draws (default: 0)")
    add("--stop", metavar="ID,…", help="end at these ids (default: the tokenizer's own)")
    add("--dtype", help=f"{'|'.join(_DTYPES)} (default: as stored)")
    add("--formulation", default="fast", help=f"{'|'.join(FORMULATIONS)} (default: fast)")


def _run(parsed: argparse.Namespace) -> int:
    if (parsed.prompt is None) == (parsed.tokens is None):
        raise UsageError("say either --prompt TEXT or --tokens 2,818,…")
    one_of("--dtype", parsed.dtype, _DTYPES)
    one_of("--model", parsed.model, tuple(PRESETS))
    one_of("--formulation", parsed.formulation, FORMULATIONS)
    new = integer("--max-new-tokens", parsed.max_new_tokens, 1, 2**31 - 1)
    seed = integer("--seed", parsed.seed, 0, 2**63 - 1)
    stops = None
    if parsed.stop is not None:
        stops, *more = token_rows("--stop", parsed.stop)
        if more:
            raise UsageError(f"--stop takes one list of ids; got {parsed.stop!r}")
    rows = token_rows("--tokens", parsed.tokens) if parsed.tokens else []
    temperature = number("--temperature", parsed.temperature)
    top_k = None if parsed.top_k is None else integer("--top-k", parsed.top_k, 1, 2**31 - 1)
    top_p = None if parsed.top_p is None else number("--top-p", parsed.top_p)

    from jaxformer.machine import keep_compiled
    from jaxformer.sampling import Sampling

    keep_compiled()
    sampling = Sampling(temperature, top_k, top_p)
    model = _model(parsed, Progress())
    if rows:
        _print_ids(model, rows, new, sampling, seed, stops or [])
        return OK
    prompts = [sys.stdin.read() if text == "-" else text for text in parsed.prompt]
    if len(prompts) == 1:
        for piece in model.stream(
            prompts[0], max_new_tokens=new, sampling=sampling, seed=seed, stop_ids=stops
        ):
            print(piece, end="", flush=True)
        print()
        return OK
    replies = model.generate_batch(
        prompts, max_new_tokens=new, sampling=sampling, seed=seed, stop_ids=stops
    )
    for i, reply in enumerate(replies):
        print(f"--- {i + 1}\n{reply}")
    return OK


def _model(parsed: argparse.Namespace, progress: Progress) -> Gemma:
    from jaxformer.checkpoint.synthetic import synthetic_params
    from jaxformer.fast.forms import measured_choice
    from jaxformer.fast.layout import laid_out
    from jaxformer.gemma import Gemma, load
    from jaxformer.tokenizer import load_tokenizer

    kind, colon, text = parsed.weights.partition(":")
    if kind != "synthetic":
        if parsed.model is not None:
            raise UsageError("--model is for synthetic weights; a checkpoint says what it is")
        return load(
            parsed.weights,
            dtype=parsed.dtype,
            tokenizer=parsed.tokenizer,
            chat=parsed.chat,
            formulation=parsed.formulation,
            progress=progress,
        )
    seed = integer("--weights synthetic:SEED", text, 0, 2**63 - 1) if colon else 0
    name = parsed.model or _DEFAULT_MODEL
    config = PRESETS[name]
    tokenizer = (
        load_tokenizer(parsed.tokenizer, vocab_size=config.vocab_size) if parsed.tokenizer else None
    )
    progress(f"weights: synthetic, seed {seed}, {name}")
    params = synthetic_params(config, seed, parsed.dtype or _DTYPES[0])
    if parsed.formulation == "fast":
        config = config.with_numerics(formulation="fast")
        params = laid_out(params, measured_choice(), consume=True)
    return Gemma(name, config, params, tokenizer, chat=bool(parsed.chat))


def _print_ids(
    model: Gemma,
    rows: list[list[int]],
    new: int,
    sampling: Sampling,
    seed: int,
    stops: list[int],
) -> None:
    from jaxformer.generate import generate

    generated = generate(
        model.params, rows, model.config, max_new_tokens=new, sampling=sampling, seed=seed,
        stop_ids=stops,
    )  # fmt: skip
    for row in generated:
        print(",".join(map(str, row)))


GENERATE = Command("continue prompts with a checkpoint's model", _add_arguments, _run)
