"""Tokenizers: what goes in comes out, and text never turns into special tokens by accident."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_toys import compiled, run_stage

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.tokenizers import Tokens, from_folder, from_word
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.characters import Characters
from dllm_run.specs.vocabulary.tokenizers.pattern import Pattern

BYTES = from_word(Bytes(), Path())
CHARACTERS = from_word(Characters(), Path())


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_bytes_are_their_own_ids_and_any_text_comes_back(text: str) -> None:
    ids = BYTES.encode(text)
    assert ids == list(text.encode())
    assert BYTES.decode(ids) == text


def test_the_special_tokens_of_bytes_come_after_the_256() -> None:
    assert (BYTES.size, BYTES.end, BYTES.pad, BYTES.mask, BYTES.begin) == (258, (256,), 256, 257, ())
    assert BYTES.forbidden == (257,)


@pytest.mark.parametrize("text", ["<mask>", "a<mask>b", "<eos>", "  <mask> "])
def test_the_name_of_a_special_token_in_a_text_is_only_text(text: str) -> None:
    assert BYTES.encode(text) == list(text.encode())
    assert BYTES.decode(BYTES.encode(text)) == text
    assert BYTES.mask not in CHARACTERS.encode(text) and CHARACTERS.decode(CHARACTERS.encode(text)) == text


def test_with_specials_the_name_stands_for_the_token_and_only_that_once() -> None:
    assert BYTES.encode("a<mask>b", specials=True) == [97, 257, 98]
    assert CHARACTERS.encode("a<mask><mask>", specials=True) == [66, 97, 97]
    assert BYTES.encode("<mask>") == list(b"<mask>"), "the switch does not stay on"


def test_decoding_leaves_special_tokens_out() -> None:
    assert BYTES.decode([104, 105, 256, 257]) == "hi"


@given(st.text(alphabet=["\n", *map(chr, range(0x20, 0x7F))]))
@settings(max_examples=200, deadline=None)
def test_characters_come_back(text: str) -> None:
    ids = CHARACTERS.encode(text)
    assert len(ids) == len(text)
    assert CHARACTERS.decode(ids) == text


def test_characters_are_96_and_two_special_tokens() -> None:
    assert (CHARACTERS.size, CHARACTERS.end, CHARACTERS.mask) == (98, (96,), 97)
    assert CHARACTERS.encode("\n ~") == [0, 1, 95]


@pytest.mark.parametrize(("text", "named"), [("naïve", "'ï'"), ("a\tb", r"'\t'"), ("x" * 500 + "€", "'€'")], ids=["accent", "tab", "far"])
def test_characters_refuse_any_other_and_name_it(text: str, named: str) -> None:
    with pytest.raises(Failure) as failure:
        CHARACTERS.encode(text)
    assert named in str(failure.value)
    assert len(str(failure.value)) < 200


def test_the_pieces_of_ascii_are_its_characters() -> None:
    assert BYTES.pieces(BYTES.encode("a b")) == ["a", " ", "b"]
    assert CHARACTERS.pieces(CHARACTERS.encode("a\nb")) == ["a", "\n", "b"]


SMILES = r"(\[[^\]]+]|Br|Cl|.)"
LINES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "C", "c", "1", "O", "Br", "[nH]", "="]


@pytest.fixture
def pattern(tmp_path: Path) -> Pattern:
    (tmp_path / "vocab.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return Pattern(vocabulary="./vocab.txt", pattern=SMILES)


def test_a_pattern_splits_and_line_numbers_are_ids(pattern: Pattern, tmp_path: Path) -> None:
    tokens = from_word(pattern, tmp_path)
    assert tokens.encode("CBrc1[nH]=O") == [5, 9, 6, 7, 10, 11, 8]
    assert tokens.encode("CX") == [5, 1]
    assert tokens.decode([5, 9, 6, 7, 10, 11, 8]) == "CBrc1[nH]=O"
    assert (tokens.begin, tokens.end, tokens.mask, tokens.pad, tokens.size) == ((2,), (3,), 4, 0, len(LINES))
    assert tokens.forbidden == (0, 1, 2, 4)


def test_the_name_of_a_special_token_in_a_pattern_text_is_unknown_and_never_the_mask(pattern: Pattern, tmp_path: Path) -> None:
    tokens = from_word(pattern, tmp_path)
    assert tokens.encode("C[MASK]C") == [5, 1, 5]
    assert tokens.encode("C[MASK]C", specials=True) == [5, 4, 5]


def test_of_a_token_that_stands_twice_the_first_line_counts(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*LINES, "C"]), encoding="utf-8")
    assert from_word(Pattern(vocabulary="./vocab.txt", pattern=SMILES), tmp_path).encode("C") == [5]


def test_a_vocabulary_without_a_special_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(LINES[1:4] + LINES[5:]), encoding="utf-8")
    with pytest.raises(Failure, match=r"\./vocab\.txt has no token for mask: \[MASK\], pad: \[PAD\]"):
        from_word(Pattern(vocabulary="./vocab.txt"), tmp_path)


def test_a_vocabulary_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="0 files were found"):
        from_word(Pattern(vocabulary="./vocab.txt"), tmp_path)


def same(left: Tokens, right: Tokens, text: str) -> bool:
    facts = ("mask", "pad", "size", "begin", "end", "forbidden")
    return left.encode(text) == right.encode(text) and all(getattr(left, name) == getattr(right, name) for name in facts)


@pytest.mark.parametrize("which", ["bytes", "characters", "pattern"])
def test_a_saved_tokenizer_is_the_same_when_it_is_loaded(which: str, pattern: Pattern, tmp_path: Path) -> None:
    tokens = from_word({"bytes": Bytes(), "characters": Characters(), "pattern": pattern}[which], tmp_path)
    tokens.fast.save_pretrained(str(tmp_path / "saved"))
    again = from_folder(tmp_path / "saved")
    text = "Cc1O=" if which == "pattern" else "Some text, <mask> and\nall  of it ."
    assert same(tokens, again, text)
    assert again.decode(again.encode(text)) == text


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="holds no tokenizer"):
        from_folder(tmp_path)


def test_a_tokenizer_without_a_mask_is_refused(tmp_path: Path) -> None:
    fast = from_word(Bytes(), tmp_path).fast
    fast.mask_token = None
    fast.save_pretrained(str(tmp_path / "saved"))
    with pytest.raises(Failure, match="has no mask token"):
        from_folder(tmp_path / "saved")


BPE = """
version: 1
name: bpe
stages:
  words:
    kind: tokenizer
    vocab_size: 300
    data: {sources: [./texts.jsonl], holdout: 1 rows}
"""


def test_the_tokenizer_stage_learns_merges_and_covers_every_text(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "the cat and the hat and the mat"}\n' * 20, encoding="utf-8")
    context = run_stage(compiled(tmp_path, BPE), "words", tmp_path)
    tokens = from_folder(context.entry.output("tokenizer"))
    assert context.entry.results() == {"tokens": tokens.size, "rows": 19}
    assert 258 < tokens.size <= 300
    assert len(tokens.encode("the cat")) < len("the cat")
    assert {tokens.mask, *tokens.end} == {0, 1}
    for text in ("the mat", "Ünïcode \U0001f600 <mask>", "", " \n\t "):
        assert tokens.decode(tokens.encode(text)) == text
        assert tokens.mask not in tokens.encode(text)
