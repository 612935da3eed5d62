"""Text to ids and back, from either of the files that Gemma checkpoints carry.

`tokenizer.model` is read by sentencepiece, `tokenizer.json` by tokenizers; nothing else of a
checkpoint is looked at and nothing in it is run. Both give the ids that the official package gives
for the same vocabulary: control tokens such as `<eos>` spelled out in a text are plain text, turn
marks are tokens.
"""

from __future__ import annotations

import codecs
import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path

from jaxformer.errors import UsageError
from jaxformer.vocabulary import CONTROL, JsonVocabulary, SentencePieceVocabulary, Vocabulary

MODEL_FILE, JSON_FILE = "tokenizer.model", "tokenizer.json"
PAD_ID, EOS_ID, BOS_ID = 0, 1, 2
_FIXED = {PAD_ID: "<pad>", EOS_ID: "<eos>", BOS_ID: "<bos>"}
_TURN_END = "<end_of_turn>"
_TURNS = "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n"
# Left out of decoded text.
_SILENT = CONTROL | {"<start_of_turn>", _TURN_END, "<start_of_image>", "<end_of_image>"}
# Rows of an embedding are padded to a multiple of at most this.
_ROW_MULTIPLE = 128
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "▁"
# What `surrogateescape` makes of an undecodable byte, each to one replacement character.
_UNDECODABLE = dict.fromkeys(range(0xDC80, 0xDD00), "\N{REPLACEMENT CHARACTER}")


class TextStream:
    """Text of ids that come one by one; its pieces joined are `Tokenizer.decode` of all ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes_of = tokenizer.bytes_of
        # Holds back the head of an unfinished character.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def push(self, token_id: int) -> str:
        """The text that is certain with this id: whole characters, often one word, maybe none."""
        return self._decoder.decode(self._bytes_of(token_id)).translate(_UNDECODABLE)

    def end(self) -> str:
        """What was held back: a replacement character for each byte of a broken-off one."""
        return self._decoder.decode(b"", final=True).translate(_UNDECODABLE)


class Tokenizer:
    """Gemma's tokenizer; made by `load_tokenizer`.

    Args:
      rows: V, which no id of a text may reach: a lookup under jit can't refuse it.

    Attributes:
      size: pieces of its vocabulary, tokens added beyond it not counted.
      stop_ids: ids that end a text: `<eos>` and, where there is one, `<end_of_turn>`.
    """

    def __init__(self, vocabulary: Vocabulary, rows: int | None = None) -> None:
        self._vocabulary = vocabulary
        self._rows = rows
        self.size = vocabulary.size
        turn_end = vocabulary.id_of(_TURN_END)
        self.stop_ids = (EOS_ID,) if turn_end is None else (EOS_ID, turn_end)
        self.bytes_of = functools.cache(self._bytes_of)

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Ids of a text.

        Args:
          bos: put BOS first, once: a `<bos>` that the text starts with stands for it. Without,
            the text's own ids and nothing else.

        Raises:
          UsageError: an empty prompt (`<bos>` alone is none), text that is no valid Unicode, or a
            token that the model has no embedding for.
        """
        if not text and bos:
            raise UsageError("the prompt is empty: give some text, or <bos> to start from nothing")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"the prompt is no valid Unicode text: {error.reason} at character {error.start}"
            ) from None
        while bos and text.startswith(_FIXED[BOS_ID]):
            text = text.removeprefix(_FIXED[BOS_ID])
        ids = self._vocabulary.encode(text)
        if self._rows is not None and (beyond := [each for each in ids if each >= self._rows]):
            raise UsageError(
                f"the prompt has {self._vocabulary.piece(beyond[0])!r}, id {beyond[0]}: "
                f"the model's ids end at {self._rows - 1}"
            )
        return [BOS_ID, *ids] if bos else ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, control tokens and turn marks left out.

        Each byte that is part of no character, and each id without a piece (a padding row of the
        embedding), becomes U+FFFD.
        """
        stream = self.stream()
        return "".join([*map(stream.push, map(int, ids)), stream.end()])

    def stream(self) -> TextStream:
        """A decoder that is fed one id at a time."""
        return TextStream(self)

    def chat(self, text: str) -> str:
        """A user's text in Gemma's turn format, up to where the model answers; no BOS.

        As the official ChatSampler has it: the text is not stripped.

        Raises:
          UsageError: an empty text.
        """
        if not text:
            raise UsageError("the prompt is empty: give the user's turn some text")
        return _TURNS.format(text)

    def _bytes_of(self, token_id: int) -> bytes:
        """UTF-8 that an id stands for, maybe part of a character."""
        piece = self._vocabulary.piece(token_id)
        if piece is None:
            return "\N{REPLACEMENT CHARACTER}".encode()
        if piece in _SILENT:
            return b""
        if byte := _BYTE_PIECE.fullmatch(piece):
            return bytes.fromhex(byte[1])
        return piece.replace(_SPACE, " ").encode()


def load_tokenizer(path: str | Path, *, vocab_size: int | None = None) -> Tokenizer:
    """The tokenizer of a checkpoint folder, or in a file of either kind.

    A folder that has both files is read from tokenizer.model: it is what the official package
    reads, tokenizer.json is a conversion of it, seven times the size and slower to load.

    Args:
      path: a folder, or a file; one that ends in .json is a tokenizer.json.
      vocab_size: V of the model, to hold the vocabulary against; None for no such check.

    Raises:
      UsageError: no file, a missing library, a damaged file, special ids that are not Gemma's, or
        a vocabulary of another size than V (V may be padded to a multiple of 128; added tokens
        at ids from V on are let pass).
    """
    file = _find(Path(path))
    kind = JsonVocabulary if file.suffix == ".json" else SentencePieceVocabulary
    vocabulary: Vocabulary = kind(file)
    found = {token_id: vocabulary.piece(token_id) for token_id in _FIXED}
    if found != _FIXED:
        wanted, got = (
            ", ".join(f"{piece} {token_id}" for token_id, piece in pieces.items())
            for pieces in (_FIXED, found)
        )
        raise UsageError(f"{file} is not Gemma's tokenizer: expected {wanted}; it has {got}")
    if vocab_size is not None and (
        vocabulary.unadded_beyond(vocab_size) or vocab_size - vocabulary.size >= _ROW_MULTIPLE
    ):
        raise UsageError(
            f"{file} has {vocabulary.size} pieces, the model {vocab_size} embedding rows "
            f"(up to {_ROW_MULTIPLE - 1} more than pieces are fine): they belong to two models"
        )
    return Tokenizer(vocabulary, vocab_size)


def is_instruction_tuned(folder: str | Path) -> bool:
    """Whether a checkpoint folder has a chat template, which is looked for and never run.

    Raises:
      UsageError: a tokenizer_config.json that can't be read.
    """
    folder = Path(folder)
    if any((folder / f"chat_template.{ending}").is_file() for ending in ("jinja", "json")):
        return True
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return False
    try:
        settings = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} can't be read as JSON: {error}") from None
    return isinstance(settings, dict) and bool(settings.get("chat_template"))


def _find(path: Path) -> Path:
    files = [path / MODEL_FILE, path / JSON_FILE] if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            return file
    if path.is_dir():
        raise UsageError(
            f"{path} holds neither {MODEL_FILE} nor {JSON_FILE}: "
            "name a folder or file that does with --tokenizer"
        )
    raise UsageError(f"there is no tokenizer at {path}: name a folder or file with --tokenizer")
