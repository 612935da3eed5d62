"""What the commands share: arguments, their validation, progress and exit statuses.

Imported by `--help`, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from jaxformer.config import PRESETS
from parity.errors import RequestError

HOLDS, DIFFERS, WRONG_REQUEST = 0, 1, 2
DTYPES = ("bfloat16", "float32")
NUMERICS = ("default", "strict")
DEFAULT_MODEL = "gemma3-1b"
DEFAULT_LENGTH = 16
# In these patterns a star crosses dots: blocks.*.output would take in every attn.output.
BLOCK_TAPS = "embed,blocks.[0-9].output,blocks.[0-9][0-9].output,final_norm,logits"


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see --help")


@dataclass(frozen=True)
class Choice:
    """A model, its weights and its input, as asked for; None is 'not said'."""

    model: str | None
    blocks: int | None
    weights_seed: int | None
    tokens: list[list[int]] | None
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
        metavar="synthetic[:SEED]",
        help="trained-like random weights (default: synthetic, of --seed)",
    )
    parser.add_argument("--tokens", metavar="2,818,…", help="token ids; ';' between rows")
    parser.add_argument(
        "--seq-len", metavar="T", help=f"random tokens per row (default: {DEFAULT_LENGTH})"
    )
    parser.add_argument("--batch", metavar="B", help="rows of random tokens (default: 1)")
    parser.add_argument("--seed", metavar="S", default="0", help="of tokens and weights")
    parser.add_argument("--dtype", help=f"{'|'.join(DTYPES)} (default: {DTYPES[0]})")
    parser.add_argument(
        "--numerics", help="default|strict: as users compile, or without excess precision"
    )
    parser.add_argument(
        "--taps", metavar="blocks|all|GLOB", default="all", help="which taps (default: all)"
    )


def parse_choice(arguments: argparse.Namespace) -> Choice:
    """Validate what needs no model; ids are checked against the vocabulary later.

    Raises:
      RequestError: naming the argument, what it takes and what came.
    """
    model = one_of("--model", arguments.model, tuple(PRESETS))
    depth = PRESETS[model or DEFAULT_MODEL].num_blocks
    blocks = None
    if arguments.blocks == "all":
        blocks = depth
    elif arguments.blocks is not None:
        blocks = integer("--blocks", arguments.blocks, 1, depth, f"{model or DEFAULT_MODEL} has")
    tokens = None if arguments.tokens is None else _tokens(arguments.tokens)
    for name, value in (("--seq-len", arguments.seq_len), ("--batch", arguments.batch)):
        if tokens is not None and value is not None:
            raise RequestError(f"{name} is for random tokens; leave it out beside --tokens")
    return Choice(
        model=model,
        blocks=blocks,
        weights_seed=_weights_seed(arguments.weights),
        tokens=tokens,
        length=_optional_integer("--seq-len", arguments.seq_len),
        batch=_optional_integer("--batch", arguments.batch),
        seed=integer("--seed", arguments.seed, 0, 2**63 - 1),
        dtype=one_of("--dtype", arguments.dtype, DTYPES),
        numerics=one_of("--numerics", arguments.numerics, NUMERICS),
        taps={"all": "*", "blocks": BLOCK_TAPS}.get(arguments.taps, arguments.taps),
    )


def run_command(name: str, command: Callable[[list[str]], int], arguments: list[str] | None) -> int:
    """Run a command's body; the caller's mistakes become one line on stderr and status 2."""
    try:
        return command(sys.argv[1:] if arguments is None else arguments)
    except RequestError as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; without this, closing stdout would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HOLDS


class Progress:
    """Says on stderr, with the time since the start, what is being done."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, message: str) -> None:
        elapsed = time.monotonic() - self._start
        print(f"[{elapsed:6.1f} s] {message}", file=sys.stderr, flush=True)


def one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    if value is not None and value not in allowed:
        raise RequestError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def _optional_integer(name: str, text: str | None) -> int | None:
    return None if text is None else integer(name, text, 1, 2**31 - 1)


def integer(name: str, text: str, low: int, high: int, why: str = "") -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        limit = f", as {why} {high}" if why else ""
        raise RequestError(
            f"{name} must be a whole number from {low} to {high}{limit}; got {text!r}"
        )
    return value


def _weights_seed(text: str | None) -> int | None:
    if text is None:
        return None
    kind, colon, seed = text.partition(":")
    if kind != "synthetic":
        raise RequestError(f"--weights must be synthetic or synthetic:SEED; got {text!r}")
    return integer("--weights synthetic:SEED", seed, 0, 2**63 - 1) if colon else None


def _tokens(text: str) -> list[list[int]]:
    try:
        rows = [[int(token) for token in row.split(",")] for row in text.split(";")]
    except ValueError:
        raise RequestError(
            f"--tokens must be whole numbers between commas, ';' between rows; got {text!r}"
        ) from None
    if len({len(row) for row in rows}) > 1:
        raise RequestError(
            f"--tokens rows must be of one length, got {[len(row) for row in rows]}; pad with 0"
        )
    return rows
