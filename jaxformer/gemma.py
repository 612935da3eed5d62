"""A loaded model that takes text and gives text.

model = jaxformer.load("gemma-3-1b-it")
print(model.generate("Why is the sky blue?", max_new_tokens=100))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxformer.checkpoint.folder import open_checkpoint
from jaxformer.config import Config
from jaxformer.errors import UsageError
from jaxformer.fast.forms import measured_choice
from jaxformer.fast.layout import laid_out
from jaxformer.generate import generate, stream
from jaxformer.numerics import Formulation
from jaxformer.params import Params
from jaxformer.sampling import Sampling
from jaxformer.tokenizer import (
    JSON_FILE,
    MODEL_FILE,
    Tokenizer,
    is_instruction_tuned,
    load_tokenizer,
)

MAX_NEW_TOKENS = 256


@dataclass(frozen=True)
class Gemma:
    """Weights, their config and a tokenizer.

    Attributes:
      name: what the checkpoint was recognised as.
      tokenizer: None where the folder holds none; then only token ids can be generated from.
      chat: prompts are put into the turn format that instruction-tuned models expect.
    """

    name: str
    config: Config
    params: Params
    tokenizer: Tokenizer | None
    chat: bool

    def generate(
        self,
        prompt: str,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        sampling: Sampling | None = None,
        seed: int = 0,
        stop_ids: Sequence[int] | None = None,
    ) -> str:
        """What the model says to a prompt; see `generate_batch`."""
        return self.generate_batch(
            [prompt],
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            seed=seed,
            stop_ids=stop_ids,
        )[0]

    def generate_batch(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        sampling: Sampling | None = None,
        seed: int = 0,
        stop_ids: Sequence[int] | None = None,
    ) -> list[str]:
        """What the model says to each of several prompts, run together.

        Args:
          sampling: greedy if None.
          stop_ids: end a reply; the tokenizer's own if None.

        Raises:
          UsageError: no tokenizer, an empty prompt, or what `jaxformer.generate.stream` refuses.
        """
        tokenizer = self._tokenizer()
        rows = generate(
            self.params,
            [self.encode(text) for text in prompts],
            self.config,
            max_new_tokens=max_new_tokens,
            sampling=sampling or Sampling(),
            seed=seed,
            stop_ids=tokenizer.stop_ids if stop_ids is None else stop_ids,
        )
        return [tokenizer.decode(row) for row in rows]

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        sampling: Sampling | None = None,
        seed: int = 0,
        stop_ids: Sequence[int] | None = None,
    ) -> Iterator[str]:
        """The same text in pieces, as it comes; see `generate_batch`."""
        tokenizer = self._tokenizer()
        steps = stream(
            self.params,
            [self.encode(prompt)],
            self.config,
            max_new_tokens=max_new_tokens,
            sampling=sampling or Sampling(),
            seed=seed,
            stop_ids=tokenizer.stop_ids if stop_ids is None else stop_ids,
        )
        return _pieces(tokenizer, steps)

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt, <bos> first, in the turn format if the model is for chat.

        Raises:
          UsageError: no tokenizer, or an empty prompt.
        """
        tokenizer = self._tokenizer()
        return tokenizer.encode(tokenizer.chat(text) if self.chat else text)

    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise UsageError(
                "the checkpoint folder holds no tokenizer; name a tokenizer.model or "
                "tokenizer.json, or generate from token ids"
            )
        return self.tokenizer


def load(
    folder: str | Path,
    *,
    dtype: str | None = None,
    tokenizer: str | Path | None = None,
    chat: bool | None = None,
    formulation: Formulation = "fast",
    progress: Callable[[str], None] | None = None,
) -> Gemma:
    """The Gemma 3 of a checkpoint folder, Orbax or Hugging Face safetensors.

    Args:
      dtype: bfloat16 or float32; as stored if None.
      tokenizer: its file or folder; looked for in `folder` if None.
      chat: use the turn format; if None, where the folder has a chat template.
      formulation: `fast`, or `exact` for the bits of the official package's products.

    Raises:
      UsageError: the folder, its tensors or its tokenizer are not a whole Gemma 3.
    """
    checkpoint = open_checkpoint(folder)
    name = checkpoint.describe()
    if progress:
        progress(f"weights: {folder}: {name}")
    # Before the weights: a wrong tokenizer should not cost a minute.
    loaded = None
    if tokenizer is not None or any((Path(folder) / f).is_file() for f in (MODEL_FILE, JSON_FILE)):
        loaded = load_tokenizer(tokenizer or folder, vocab_size=checkpoint.config.vocab_size)
    params = checkpoint.load(dtype, progress=progress)
    return Gemma(
        name=name,
        config=checkpoint.config.with_numerics(formulation=formulation),
        params=laid_out(params, measured_choice(), consume=True)
        if formulation == "fast"
        else params,
        tokenizer=loaded,
        chat=is_instruction_tuned(folder) if chat is None else chat,
    )


def _pieces(tokenizer: Tokenizer, steps: Iterator[list[int | None]]) -> Iterator[str]:
    decoder = tokenizer.stream()
    for (token,) in steps:
        if token is not None and (piece := decoder.push(token)):
            yield piece
    if rest := decoder.end():
        yield rest
