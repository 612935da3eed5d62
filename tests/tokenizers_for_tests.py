"""Tiny tokenizer files with Gemma's settings and special ids."""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
# As in Gemma's, these are pieces in their own right; the newlines and spaces too.
MARKS = ["<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "▁▁", "▁▁▁▁"]
SMALLEST = 380
_BYTES = 256
_CORPUS = [
    "the quick brown fox jumps over the lazy dog, then the other fox jumps over there",
    "hello world, hello there; what is it that the model has learned about the world?",
    "def add(first, second):    return first + second",
    "naïve café größer 東京 東京都 привет, привет всем",
    "0 1 2 3 4 5 6 7 8 9",
] * 4


def make_sentencepiece(folder: Path, vocab_size: int, name: str = "tokenizer.model") -> Path:
    """Write a SentencePiece model with exactly `vocab_size` pieces, 380 or more; its path.

    Pieces beyond what so little text teaches are `<unused0>`, `<unused1>` and so on, as Gemma has.
    """
    unused = [f"<unused{i}>" for i in range(vocab_size - SMALLEST)]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_CORPUS),
        model_writer=out,
        model_type="bpe",
        vocab_size=vocab_size,
        **{f"{piece[1:-1]}_id": i for i, piece in enumerate(SPECIAL)},
        **{f"{piece[1:-1]}_piece": piece for piece in SPECIAL},
        user_defined_symbols=MARKS + unused,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    path = folder / name
    path.write_bytes(out.getvalue())
    return path


def make_tokenizer_json(model_file: Path, folder: Path, *, soft_token: bool = False) -> Path:
    """Write the tokenizer.json of a SentencePiece model, built as Gemma's is; its path.

    Args:
      soft_token: add `<image_soft_token>` past the vocabulary, as Gemma 3's file does.
    """
    model = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    rank = {piece: i for i, piece in enumerate(pieces)}
    learned = pieces[rank["<0xFF>"] + 1 :]
    merges = [
        (piece[:cut], piece[cut:])
        for piece in learned
        for cut in range(1, len(piece))
        if piece[:cut] in rank and piece[cut:] in rank
    ]
    made = tokenizers.Tokenizer(
        models.BPE(rank, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = [*SPECIAL, *MARKS[:3], *(["<image_soft_token>"] if soft_token else [])]
    made.add_special_tokens([tokenizers.AddedToken(t, normalized=False) for t in special])
    plain = [*MARKS[3:], *(piece for piece in pieces if piece.startswith("<unused"))]
    made.add_tokens([tokenizers.AddedToken(t, normalized="▁" in t) for t in plain])
    path = folder / "tokenizer.json"
    made.save(str(path))
    return path
