"""The vocabulary files that Gemma checkpoints carry, behind one small interface.

`tokenizer.model` is read by sentencepiece, `tokenizer.json` by tokenizers; each is loaded only when
it is used.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Protocol

from jaxformer.errors import UsageError

# Plain text where a prompt spells them out, as the official package has it.
CONTROL = frozenset(["<pad>", "<eos>", "<bos>", "<unk>", "<image_soft_token>"])


class Vocabulary(Protocol):
    """A vocabulary: `size` pieces, tokens added beyond it not counted."""

    size: int

    def encode(self, text: str) -> list[int]:
        """Ids of a text, BOS not added."""

    def piece(self, token_id: int) -> str | None:
        """What an id is spelled as; None for an id that has no piece."""

    def id_of(self, piece: str) -> int | None:
        """The other way round."""

    def unadded_beyond(self, rows: int) -> int:
        """How many pieces have an id of `rows` or more and are no added tokens."""


class SentencePieceVocabulary:
    def __init__(self, path: Path) -> None:
        self._processor = _library("sentencepiece").SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{path} is no SentencePiece model, or damaged: {error}") from None
        self.size: int = self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._processor.encode(text)
        return ids

    def piece(self, token_id: int) -> str | None:
        return self._processor.id_to_piece(token_id) if 0 <= token_id < self.size else None

    def id_of(self, piece: str) -> int | None:
        token_id: int = self._processor.piece_to_id(piece)  # that of <unk> if there is none
        return token_id if self.piece(token_id) == piece else None

    def unadded_beyond(self, rows: int) -> int:
        return max(self.size - rows, 0)


class JsonVocabulary:
    def __init__(self, path: Path) -> None:
        library = _library("tokenizers")
        try:
            self._tokenizer = library.Tokenizer.from_file(str(path))
        except Exception as error:
            if type(error) is not Exception:  # the library raises no class of its own
                raise
            raise UsageError(f"{path} is no tokenizer.json, or damaged: {error}") from None
        # A file may carry these, and would cut long prompts without a word.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Makes special tokens plain text, so marks are cut out before.
        self._tokenizer.encode_special_tokens = True
        self.size: int = self._tokenizer.get_vocab_size(with_added_tokens=False)
        self._added: dict[int, Any] = self._tokenizer.get_added_tokens_decoder()
        self._marks = {
            token.content: token_id
            for token_id, token in self._added.items()
            if token.special and token_id < self.size and token.content not in CONTROL
        }
        longest_first = sorted(map(re.escape, self._marks), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(longest_first)})") if longest_first else None

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in self._split.split(text) if self._split else [text]:
            if part in self._marks:
                ids.append(self._marks[part])
            elif part:
                # Without special tokens: the file's post-processor may add a BOS.
                ids += self._tokenizer.encode(part, add_special_tokens=False).ids
        return ids

    def piece(self, token_id: int) -> str | None:
        return self._tokenizer.id_to_token(token_id) if token_id >= 0 else None

    def id_of(self, piece: str) -> int | None:
        token_id: int | None = self._tokenizer.token_to_id(piece)
        return token_id

    def unadded_beyond(self, rows: int) -> int:
        return sum(token_id not in self._added for token_id in range(rows, self.size))


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"reading this tokenizer needs {name} ({error}): "
            f"pip install -c constraints.txt {name}, or name the other kind of file"
        ) from None
