"""Both kinds of file give one tokenizer, the official package's; wrong files are refused."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers_for_tests import make_sentencepiece, make_tokenizer_json

from jaxformer.errors import UsageError
from jaxformer.tokenizer import Tokenizer, is_instruction_tuned, load_tokenizer

SIZE = 512
MIXED = [
    "Hello  world, hello   there\n\n\nnaïve café größer 東京 привет",
    "😀👩‍👩‍👧 e\u0301\t\0\r\n 0123456789        <mask>",
    "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n",
    "a <bos>b<eos> <pad><unk> <0x41> <image_soft_token> <unused7>",
    "    the the the",
    "\n",
]
# U+2581 is how a piece spells a space, so it comes back as one; a mark is left out.
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁<"))
IDS = st.lists(st.integers(0, SIZE + 5) | st.integers(11, 11 + 255), max_size=30)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sentencepiece(tmp_path_factory.mktemp("model"), SIZE)


@pytest.fixture(scope="module")
def json_file(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_json(model_file, tmp_path_factory.mktemp("json"), soft_token=True)


@pytest.fixture(scope="module", params=["sentencepiece", "json"])
def tokenizer(request: pytest.FixtureRequest, model_file: Path, json_file: Path) -> Tokenizer:
    return load_tokenizer(model_file if request.param == "sentencepiece" else json_file)


@pytest.fixture(scope="module")
def both(model_file: Path, json_file: Path) -> tuple[Tokenizer, Tokenizer]:
    return load_tokenizer(model_file), load_tokenizer(json_file)


def test_both_files_give_the_ids_of_the_official_package(
    both: tuple[Tokenizer, Tokenizer], model_file: Path
) -> None:
    from gemma import gm

    official = gm.text.Gemma3Tokenizer(path=str(model_file))
    for text in MIXED:
        ids = official.encode(text, add_bos=True)
        assert [each.encode(text) for each in both] == [ids, ids]
        assert [each.encode(text, bos=False) for each in both] == [ids[1:], ids[1:]]


def test_a_turn_is_the_official_one(both: tuple[Tokenizer, Tokenizer]) -> None:
    from gemma.gm.text import _template

    text = " what is {it}?\n"
    expected = _template.PROMPT.format(text)
    assert [each.chat(text) for each in both] == [expected, expected]


@given(PLAIN)
def test_both_files_agree_and_text_comes_back(both: tuple[Tokenizer, Tokenizer], text: str) -> None:
    one, other = (each.encode(text, bos=False) for each in both)
    assert one == other
    assert [each.decode(one) for each in both] == [text, text]


@given(IDS)
def test_streamed_pieces_joined_are_the_text(tokenizer: Tokenizer, ids: list[int]) -> None:
    stream = tokenizer.stream()
    pieces = [stream.push(each) for each in ids]
    assert "".join([*pieces, stream.end()]) == tokenizer.decode(ids)


@given(IDS)
def test_text_of_any_ids_is_that_of_the_library(model_file: Path, ids: list[int]) -> None:
    """Broken characters too: a replacement character for each byte."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    ids = [each for each in ids if each < SIZE and each not in (3, 5, 6)]
    assert load_tokenizer(model_file).decode(ids) == model.decode(ids)


def test_a_stream_holds_back_half_a_character(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a😀b", bos=False)
    assert len(ids) == 6
    stream = tokenizer.stream()
    assert [stream.push(each) for each in ids] == ["a", "", "", "", "😀", "b"]
    assert stream.end() == ""


def test_a_broken_off_character_shows_at_the_end(tokenizer: Tokenizer) -> None:
    stream = tokenizer.stream()
    assert "".join(map(stream.push, tokenizer.encode("😀", bos=False)[:2])) == ""
    assert stream.end() == "\ufffd\ufffd"


@pytest.mark.parametrize("text", ["the fox", "<bos>the fox", "<bos><bos>the fox"])
def test_bos_comes_exactly_once(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text) == [2, *tokenizer.encode("the fox", bos=False)]


def test_bos_comes_once_where_the_file_adds_one(json_file: Path, tmp_path: Path) -> None:
    import tokenizers

    made = tokenizers.Tokenizer.from_file(str(json_file))
    made.post_processor = tokenizers.processors.TemplateProcessing("<bos> $A", None, [("<bos>", 2)])
    made.save(str(tmp_path / "tokenizer.json"))
    assert made.encode("the fox").ids[0] == 2
    assert load_tokenizer(tmp_path).encode("<bos>the fox").count(2) == 1


def test_a_file_that_cuts_or_pads_prompts_does_neither(json_file: Path, tmp_path: Path) -> None:
    import tokenizers

    made = tokenizers.Tokenizer.from_file(str(json_file))
    made.enable_truncation(3)
    made.enable_padding(length=50)
    made.save(str(tmp_path / "tokenizer.json"))
    text = MIXED[0]
    assert load_tokenizer(tmp_path).encode(text) == load_tokenizer(json_file).encode(text)


def test_decoded_text_has_no_control_tokens(tokenizer: Tokenizer) -> None:
    ids = [0, 2, *tokenizer.encode(tokenizer.chat("hi"), bos=False), 3, 1, 1]
    assert tokenizer.decode(ids) == "user\nhi\nmodel\n"


def test_size_and_stops(tokenizer: Tokenizer) -> None:
    assert (tokenizer.size, tokenizer.stop_ids) == (SIZE, (1, 6))


def test_without_turns_only_eos_stops(model_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.model"
    file.write_bytes(model_file.read_bytes().replace(b"<end_of_turn>", b"<out_of_turn>"))
    assert load_tokenizer(file).stop_ids == (1,)


@pytest.mark.parametrize("rows", [SIZE, SIZE + 64, SIZE + 127])
def test_padding_rows_and_tokens_beyond_are_fine(
    model_file: Path, json_file: Path, rows: int
) -> None:
    assert load_tokenizer(model_file, vocab_size=rows).size == SIZE
    assert load_tokenizer(json_file, vocab_size=rows).size == SIZE


@pytest.mark.parametrize("rows", [SIZE - 1, SIZE + 128])
def test_a_vocabulary_of_another_size_is_refused(
    model_file: Path, json_file: Path, rows: int
) -> None:
    for file in (model_file, json_file):
        with pytest.raises(UsageError, match=f"512 pieces, the model {rows} embedding rows"):
            load_tokenizer(file, vocab_size=rows)


def test_an_added_token_inside_a_longer_vocabulary_is_not_counted(
    model_file: Path, tmp_path: Path
) -> None:
    """Added tokens may have been written into the vocabulary as well."""
    file = make_tokenizer_json(model_file, tmp_path, soft_token=True)
    content = json.loads(file.read_text())
    content["model"]["vocab"]["<image_soft_token>"] = SIZE
    file.write_text(json.dumps(content))
    assert load_tokenizer(file, vocab_size=SIZE).encode("fox <image_soft_token>")[-1] < SIZE
    content["model"]["vocab"]["another"] = SIZE + 1
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="514 pieces"):
        load_tokenizer(file, vocab_size=SIZE)


def test_a_folder_is_read_from_the_sentencepiece_model_first(
    model_file: Path, json_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UsageError, match=r"tokenizer\.json, or damaged"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(model_file.read_bytes())
    assert load_tokenizer(tmp_path).size == SIZE


def test_a_token_without_an_embedding_is_refused(json_file: Path, tmp_path: Path) -> None:
    import tokenizers

    made = tokenizers.Tokenizer.from_file(str(json_file))
    made.add_tokens(["<mine>"])
    made.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path, vocab_size=SIZE)
    with pytest.raises(UsageError, match="'<mine>', id 513: the model's ids end at 511"):
        loaded.encode("the <mine> fox")


@pytest.mark.parametrize("ending", ["model", "json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"junk" * 100])
def test_a_damaged_file_is_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    (tmp_path / f"tokenizer.{ending}").write_bytes(content)
    with pytest.raises(UsageError, match=rf"tokenizer\.{ending} is no .*, or damaged") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_half_a_file_is_refused(
    model_file: Path, json_file: Path, tmp_path: Path, cut: float
) -> None:
    for file in (model_file, json_file):
        content = file.read_bytes()
        half = tmp_path / file.name
        half.write_bytes(content[: int(len(content) * cut)])
        with pytest.raises(UsageError, match="or damaged"):
            load_tokenizer(half)


def test_other_special_ids_are_refused(model_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.model"
    file.write_bytes(model_file.read_bytes().replace(b"<bos>", b"<sos>"))
    with pytest.raises(UsageError, match=r"expected <pad> 0, <eos> 1, <bos> 2; .*<sos> 2"):
        load_tokenizer(file)
    made = make_tokenizer_json(model_file, tmp_path)
    made.write_text(made.read_text().replace("<pad>", "<nil>"))
    with pytest.raises(UsageError, match=r"it has <nil> 0"):
        load_tokenizer(made)


def test_a_folder_without_a_tokenizer_names_the_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokenizer\.model nor tokenizer\.json.*--tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(UsageError, match=r"no tokenizer at .*nowhere.*--tokenizer"):
        load_tokenizer(tmp_path / "nowhere")


def test_an_empty_prompt_is_refused_and_bos_alone_is_none(tokenizer: Tokenizer) -> None:
    for empty in (tokenizer.encode, tokenizer.chat):
        with pytest.raises(UsageError, match="the prompt is empty"):
            empty("")
    assert tokenizer.encode("<bos>") == [2]
    assert tokenizer.encode("", bos=False) == []


def test_text_that_is_no_unicode_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="surrogates not allowed at character 2"):
        tokenizer.encode("ab\udcff")


def test_a_missing_library_names_the_command(
    model_file: Path, json_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, library in ((model_file, "sentencepiece"), (json_file, "tokenizers")):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(UsageError, match=f"pip install -c constraints.txt {library}"):
            load_tokenizer(file)


def test_a_chat_template_marks_an_instruction_tuned_checkpoint(tmp_path: Path) -> None:
    settings = tmp_path / "tokenizer_config.json"
    assert not is_instruction_tuned(tmp_path)
    settings.write_text('{"bos_token": "<bos>"}')
    assert not is_instruction_tuned(tmp_path)
    settings.write_text('{"chat_template": "{{ bos_token }}"}')
    assert is_instruction_tuned(tmp_path)
    settings.write_text("{")
    with pytest.raises(UsageError, match=r"tokenizer_config\.json can't be read"):
        is_instruction_tuned(tmp_path)
    settings.unlink()
    (tmp_path / "chat_template.jinja").write_text("{{ never run }}")
    assert is_instruction_tuned(tmp_path)
