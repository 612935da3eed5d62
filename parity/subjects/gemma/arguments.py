"""The arguments that choose a Gemma, its weights and its input.

Imported by `--help`, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from jaxformer.commands.arguments import token_rows
from jaxformer.config import PRESETS
from parity.errors import RequestError
from parity.subjects.checks import integer, one_of

DTYPES = ("bfloat16", "float32")
NUMERICS = ("default", "strict")
DEFAULT_MODEL = "gemma3-1b"
DEFAULT_LENGTH = 16
# In these patterns a star crosses dots: blocks.*.output would take in every attn.output.
BLOCK_TAPS = "embed,blocks.[0-9].output,blocks.[0-9][0-9].output,final_norm,logits"


@dataclass(frozen=True)
class Choice:
    """A model, its weights and its input, as asked for; None is 'not said'.

    Attributes:
      blocks: not parsed yet, since the model's depth isn't known.
      weights_seed: of synthetic weights.
      checkpoint: folder of real ones.
      prompts: text instead of tokens, a row each.
      tokenizer: its file or folder, where it isn't the checkpoint's.
    """

    model: str | None
    blocks: str | None
    weights_seed: int | None
    checkpoint: str | None
    tokens: list[list[int]] | None
    prompts: list[str] | None
    tokenizer: str | None
    length: int | None
    batch: int | None
    seed: int
    dtype: str | None
    numerics: str | None
    taps: str


def add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which model runs on which input."""
    models = "|".join(PRESETS)
    parser.add_argument("--model", help=f"{models} (default: {DEFAULT_MODEL})")
    parser.add_argument("--blocks", metavar="N|all", help="run the first N blocks (default: all)")
    parser.add_argument(
        "--weights",
        metavar="synthetic[:SEED]|DIR",
        help="trained-like random weights (default: synthetic, of --seed), or a checkpoint folder",
    )
    parser.add_argument(
        "--tokens", metavar="2,818,…", help="token ids, 0 for padding; ';' between rows"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", action="append", help="text, as it is, after <bos>; repeatable"
    )
    parser.add_argument(
        "--tokenizer", metavar="PATH", help="tokenizer file or folder (default: in --weights)"
    )
    parser.add_argument(
        "--seq-len",
        metavar="T",
        help=f"random tokens per row (default: {DEFAULT_LENGTH}); one can't see attention, a "
        "sliding window shows past its length",
    )
    parser.add_argument("--batch", metavar="B", help="rows of random tokens (default: 1)")
    parser.add_argument("--seed", metavar="S", default="0", help="of tokens and weights")
    parser.add_argument("--dtype", help=f"{'|'.join(DTYPES)} (default: {DTYPES[0]})")
    parser.add_argument(
        "--numerics", help="default|strict: as users compile, or without excess precision"
    )
    parser.add_argument(
        "--taps",
        metavar="blocks|all|GLOB,…",
        default="all",
        help="which taps (default: all); * also crosses dots",
    )


def parse_choice(arguments: argparse.Namespace) -> Choice:
    """Validate what needs no model; depth and ids are checked against the model later.

    Raises:
      RequestError: naming the argument, what it takes and what came.
    """
    given = [n for n in ("tokens", "prompt") if getattr(arguments, n) is not None]
    if len(given) == 2:
        raise RequestError("--tokens and --prompt are two ways to say the input; leave one out")
    for name, value in (("--seq-len", arguments.seq_len), ("--batch", arguments.batch)):
        if given and value is not None:
            raise RequestError(f"{name} is for random tokens; leave it out beside --{given[0]}")
    if arguments.tokenizer is not None and arguments.prompt is None:
        raise RequestError("--tokenizer is for --prompt TEXT, which is missing")
    seed, checkpoint = _weights(arguments.weights)
    return Choice(
        model=one_of("--model", arguments.model, tuple(PRESETS)),
        blocks=arguments.blocks,
        weights_seed=seed,
        checkpoint=checkpoint,
        tokens=None if arguments.tokens is None else _tokens(arguments.tokens),
        prompts=arguments.prompt,
        tokenizer=arguments.tokenizer,
        length=_optional_integer("--seq-len", arguments.seq_len),
        batch=_optional_integer("--batch", arguments.batch),
        seed=integer("--seed", arguments.seed, 0, 2**63 - 1),
        dtype=one_of("--dtype", arguments.dtype, DTYPES),
        numerics=one_of("--numerics", arguments.numerics, NUMERICS),
        taps={"all": "*", "blocks": BLOCK_TAPS}.get(arguments.taps, arguments.taps),
    )


def _optional_integer(name: str, text: str | None) -> int | None:
    return None if text is None else integer(name, text, 1, 2**31 - 1)


def _weights(text: str | None) -> tuple[int | None, str | None]:
    """The seed of synthetic weights, or the folder of a checkpoint."""
    kind, colon, seed = (text or "synthetic").partition(":")
    if kind != "synthetic":
        if not Path(str(text)).is_dir():
            raise RequestError(
                "--weights must be synthetic, synthetic:SEED or the folder of a checkpoint; "
                f"got {text!r}"
            )
        return None, text
    return (integer("--weights synthetic:SEED", seed, 0, 2**63 - 1) if colon else None), None


def _tokens(text: str) -> list[list[int]]:
    rows = token_rows("--tokens", text)
    if len({len(row) for row in rows}) > 1:
        raise RequestError(
            f"--tokens rows must be of one length, got {[len(row) for row in rows]}; pad with 0"
        )
    return rows
