"""From what was asked for to a full setting."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from jaxformer.attention import PADDING_ID
from jaxformer.checkpoint.folder import Checkpoint, open_checkpoint
from jaxformer.checkpoint.synthetic import synthetic_tokens
from jaxformer.config import PRESETS, Config
from jaxformer.tokenizer import load_tokenizer
from parity.errors import RequestError
from parity.subjects.checks import integer
from parity.subjects.gemma.arguments import DEFAULT_LENGTH, DEFAULT_MODEL, DTYPES, Choice
from parity.subjects.gemma.ours import config_json
from parity.trace.manifest import Manifest, json_hash
from parity.trace.recorder import NumericsMode

CUSTOM = "custom"


@dataclass(frozen=True)
class Setting:
    """A choice with every default filled in; nothing big exists yet.

    Attributes:
      model: a preset's name, or `custom` for a checkpoint of other shapes.
      checkpoint: where the weights come from; None for synthetic ones of `weights_seed`.
    """

    model: str
    config: Config
    blocks: int
    weights_seed: int
    checkpoint: Checkpoint | None
    tokens: list[list[int]]
    dtype: str
    numerics: NumericsMode
    taps: str

    @property
    def whole(self) -> bool:
        """Every block is run, and so are final norm and logits."""
        return self.blocks == self.config.num_blocks

    @property
    def weights(self) -> str:
        """What --weights is for these."""
        return str(self.checkpoint.folder) if self.checkpoint else f"synthetic:{self.weights_seed}"

    @property
    def manifest(self) -> Manifest:
        """Of a run with this setting; weights hash and environment are still to come."""
        config = config_json(self.config)
        return Manifest(
            source="",
            model=self.model,
            config=config,
            config_hash=json_hash(config),
            blocks=self.blocks,
            weights=self.weights,
            tokens=self.tokens,
            dtype=self.dtype,
            numerics=self.numerics,
        )

    @property
    def takes_block_inputs(self) -> bool:
        """Every tap is selected, block inputs among them."""
        return self.taps == "*"


def resolve(choice: Choice, stored: Manifest | None = None) -> Setting:
    """Fill in what was not said: from a stored trace's manifest if there is one, then by default.

    A checkpoint's folder is opened here, but no weights are read.

    Raises:
      RequestError: token ids outside the vocabulary, a model that is not the checkpoint's, or a
        manifest that names no known model.
      UsageError: the checkpoint or its tokenizer is not usable.
    """
    given = stored or Manifest(source="")
    checkpoint = open_checkpoint(choice.checkpoint) if choice.checkpoint else None
    model, config = _model(choice, given, checkpoint)
    dtype = choice.dtype or given.dtype or _stored_dtype(checkpoint) or DTYPES[0]
    if dtype not in DTYPES:
        raise RequestError(f"the trace is in {dtype}; there are {' and '.join(DTYPES)}")
    depth = config.num_blocks
    if choice.blocks not in (None, "all"):
        blocks = integer("--blocks", choice.blocks, 1, depth, f"{model} has")
    else:
        blocks = (None if choice.blocks else given.blocks) or depth
    if not 1 <= blocks <= depth:
        raise RequestError(f"the trace has {blocks} blocks, {model} has {depth}")
    return Setting(
        model=model,
        config=config,
        blocks=blocks,
        weights_seed=0 if checkpoint else _weights_seed(choice, given.weights),
        checkpoint=checkpoint,
        tokens=_tokens(choice, given.tokens, config),
        dtype=dtype,
        numerics="strict" if (choice.numerics or given.numerics) == "strict" else "default",
        taps=choice.taps,
    )


def _model(choice: Choice, given: Manifest, checkpoint: Checkpoint | None) -> tuple[str, Config]:
    if checkpoint is not None:
        name = checkpoint.preset or CUSTOM
        if choice.model not in (None, name):
            raise RequestError(
                f"{checkpoint.folder} holds {name}, --model says {choice.model}; leave --model out"
            )
        return name, checkpoint.config
    name = choice.model or given.model or DEFAULT_MODEL
    if name not in PRESETS:
        raise RequestError(
            f"the trace is of model {name!r}, which can't be made here; there are "
            f"{', '.join(PRESETS)}, or name its checkpoint by --weights"
        )
    return name, PRESETS[name]


def _stored_dtype(checkpoint: Checkpoint | None) -> str | None:
    # float16 has to be asked for as one of ours, which loading says.
    return checkpoint.dtype if checkpoint and checkpoint.dtype in DTYPES else None


def arguments_of(setting: Setting) -> list[str]:
    """The command line that asks for this setting."""
    rows = ";".join(",".join(map(str, row)) for row in setting.tokens)
    named = {
        **({} if setting.checkpoint else {"model": setting.model}),
        "blocks": str(setting.blocks),
        "weights": setting.weights,
        "tokens": rows,
        "dtype": setting.dtype,
        "numerics": setting.numerics,
        "taps": "all" if setting.taps == "*" else setting.taps,
    }
    return [part for name, value in named.items() for part in (f"--{name}", value)]


def _weights_seed(choice: Choice, stored: str | None) -> int:
    if choice.weights_seed is not None:
        return choice.weights_seed
    if stored is None:
        return choice.seed
    found = re.fullmatch(r"synthetic:(\d+)", stored)
    if not found:
        raise RequestError(f"the trace was made with weights {stored!r}; name them by --weights")
    return int(found[1])


def _prompted(choice: Choice, config: Config) -> list[list[int]] | None:
    """Ids of the prompts, padded at the end to one length."""
    if choice.prompts is None:
        return None
    where = choice.tokenizer or choice.checkpoint
    if where is None:
        raise RequestError(
            "--prompt needs a tokenizer: name it by --tokenizer, or a checkpoint by --weights"
        )
    tokenizer = load_tokenizer(where, vocab_size=config.vocab_size)
    rows = [tokenizer.encode(text) for text in choice.prompts]
    longest = max(map(len, rows))
    if longest > config.context_length:
        raise RequestError(
            f"the prompt has {longest} tokens, the model's context is {config.context_length}"
        )
    return [row + [PADDING_ID] * (longest - len(row)) for row in rows]


def _tokens(choice: Choice, stored: list[list[int]] | None, config: Config) -> list[list[int]]:
    random = choice.length is not None or choice.batch is not None
    tokens = choice.tokens or _prompted(choice, config) or (None if random else stored)
    if tokens is None:
        length = choice.length or DEFAULT_LENGTH
        made = synthetic_tokens(config, choice.batch or 1, length, choice.seed)
        tokens = made.tolist()
    try:
        ids = np.asarray(tokens, np.int64)
        well_formed = ids.ndim == 2 and ids.size > 0
    except (TypeError, ValueError, OverflowError):
        well_formed = False
    if not well_formed:
        raise RequestError("tokens must be rows of whole numbers, all of one length")
    outside = ids[(ids < 0) | (ids >= config.vocab_size)]
    if outside.size:
        raise RequestError(
            f"tokens must lie in 0..{config.vocab_size - 1}, the vocabulary; got {outside[0]}"
        )
    return tokens
