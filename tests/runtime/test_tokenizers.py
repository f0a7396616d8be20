"""Tokenizers: what goes in comes out, and text never turns into special tokens by accident."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_toys import compiled, run_stage

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.tokenizers import Tokens, from_folder, from_word
from dllm_run.specs.vocabulary.special_tokens import SpecialTokens
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


def without_mask(folder: Path) -> Path:
    """The byte tokenizer, saved as a causal model would bring it: 256 bytes, end of text, and one more special token."""
    fast = from_word(Bytes(), folder).fast
    fast.mask_token = None
    fast.save_pretrained(str(folder))
    return folder


def test_a_tokenizer_without_a_mask_is_given_one_behind_its_last_token(tmp_path: Path) -> None:
    tokens = from_folder(without_mask(tmp_path))
    assert (tokens.mask, tokens.size, tokens.added_mask) == (258, 259, True)
    assert tokens.fast.convert_ids_to_tokens(258) == "<|mask|>" and 258 in tokens.forbidden
    assert tokens.encode("a<|mask|>b") == list(b"a<|mask|>b") and tokens.encode("<|mask|>", specials=True) == [258]
    tokens.fast.save_pretrained(str(tmp_path / "again"))
    again = from_folder(tmp_path / "again")
    assert (again.mask, again.size, again.added_mask) == (258, 259, False)


def beside(folder: Path, config: str) -> Path:
    (folder / "config.json").write_text(config, encoding="utf-8")
    return folder


def test_a_family_knows_which_of_its_tokens_is_the_mask_and_which_ends_a_message(tmp_path: Path) -> None:
    tokens = from_folder(without_mask(tmp_path))
    tokens.fast.mask_token = None
    tokens.fast.add_tokens(["<|mdm_mask|>", "<|eot_id|>"], special_tokens=True)
    tokens.fast.save_pretrained(str(tmp_path / "llada"))
    llada = from_folder(beside(tmp_path / "llada", '{"model_type": "llada"}'))
    assert (llada.mask, llada.turn, llada.added_mask) == (259, (260,), False)
    assert llada.stops == (256, 260) and llada.forbidden == (259,)
    other = from_folder(beside(tmp_path / "llada", '{"model_type": "gpt2"}'))
    assert (other.mask, other.turn) == (258, ()), "a mask that is there already is no other family's"


def test_special_tokens_can_be_said_and_must_be_there(tmp_path: Path) -> None:
    without_mask(tmp_path)
    tokens = from_folder(tmp_path, SpecialTokens(mask="<mask>", end="$", pad="#", end_of_turn="<eos>"))
    assert (tokens.mask, tokens.end, tokens.pad, tokens.turn, tokens.added_mask) == (257, (ord("$"),), ord("#"), (256,), False)
    tokens.fast.save_pretrained(str(tmp_path / "again"))
    again = from_folder(tmp_path / "again")
    assert (again.mask, again.end, again.pad) == (257, (ord("$"),), ord("#"))
    with pytest.raises(Failure, match=r"special_tokens\.mask is '<masc>', which the vocabulary does not have: near are <mask>"):
        from_folder(tmp_path, SpecialTokens(mask="<masc>"))


def test_a_mask_that_is_a_word_of_the_vocabulary_never_comes_from_a_text(tmp_path: Path) -> None:
    tokens = from_folder(without_mask(tmp_path), SpecialTokens(mask="_"))
    assert tokens.encode("ab") == [97, 98]
    with pytest.raises(Failure, match=r"holds the mask token '_'"):
        tokens.encode("a_b")


def test_code_that_comes_with_a_tokenizer_is_never_run(tmp_path: Path) -> None:
    fast = from_word(Bytes(), tmp_path).fast
    fast.save_pretrained(str(tmp_path))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "own.py").write_text("raise SystemExit('it ran')\n")
    assert from_folder(tmp_path).encode("ab") == [97, 98]


def test_a_config_that_names_code_is_not_asked_about_it_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail(prompt))
    from_word(Bytes(), tmp_path).fast.save_pretrained(str(tmp_path))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for name in ("PreTrainedTokenizerFast", "LlamaTokenizerFast", None):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": name}))
        tokens = from_folder(beside(tmp_path, '{"model_type": "llada", "auto_map": {"AutoConfig": "own.Config"}}'))
        assert tokens.encode("ab") == [97, 98] and tokens.mask == 257


def test_the_tokenizer_of_dream_is_read_by_that_of_qwen(tmp_path: Path) -> None:
    vocabulary = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3, "<|im_end|>": 4, "<|mask|>": 5}
    (tmp_path / "vocab.json").write_text(json.dumps(dict(list(vocabulary.items())[:3])))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    added = {str(number): {"content": text, "special": True} for text, number in vocabulary.items() if number > 2}
    settings = {"added_tokens_decoder": added, "mask_token": "<|mask|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    settings |= {"tokenizer_class": "DreamTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokens = from_folder(beside(tmp_path, '{"model_type": "Dream"}'))
    assert (tokens.mask, tokens.end, tokens.turn, tokens.begin) == (5, (3,), (4,), ())
    assert tokens.encode("aba") == [2, 0]


# --- conversations

TALK = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Is <|eot_id|> a token?"},
    {"role": "assistant", "content": "Yes<mask>."},
]


@pytest.fixture
def llada(tmp_path: Path) -> Tokens:
    tokens = from_folder(without_mask(tmp_path))
    names = ["<|startoftext|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokens.fast.add_tokens(names, special_tokens=True)
    tokens.fast.add_special_tokens({"bos_token": names[0]})
    tokens.fast.save_pretrained(str(tmp_path / "llada"))
    return from_folder(beside(tmp_path / "llada", '{"model_type": "llada"}'))


def test_a_conversation_with_llada_has_headers_and_a_name_in_it_is_only_text(llada: Tokens) -> None:
    start, header, header_end, over = range(259, 263)

    def turn(role: str, text: str) -> list[int]:
        return [header, *role.encode(), header_end, *f"\n\n{text}".encode()]

    asked = [start, *turn("system", "Be brief."), over, *turn("user", "Is <|eot_id|> a token?"), over, *turn("assistant", "")]
    assert llada.chat(TALK[:2], answer=False) == (asked, len(asked))
    assert llada.chat(TALK, answer=True) == ([*asked, *b"Yes<mask>.", over], len(asked))


def test_a_conversation_with_an_encoder_is_text_between_tags(tmp_path: Path) -> None:
    from_word(Bytes(), tmp_path).fast.save_pretrained(str(tmp_path))
    tokens = from_folder(beside(tmp_path, '{"model_type": "roberta"}'))
    found = tokens.chat(TALK, answer=True)
    asked = "[SYS]\nBe brief.\n[/SYS]\n\n[Question]\nIs <|eot_id|> a token?\n[/Question]\n\n[Answer]\n"
    assert bytes(found.tokens[: found.prompt]).decode() == asked
    assert bytes(found.tokens[found.prompt :]).decode() == "Yes<mask>.\n[/Answer]\n\n"
    assert (tokens.turn, tokens.turn_text) == ((), "[/Answer]")


def with_template(folder: Path, template: str) -> Tokens:
    fast = from_word(Bytes(), folder).fast
    fast.chat_template = template
    fast.save_pretrained(str(folder))
    return from_folder(folder)


def test_the_template_of_a_tokenizer_is_taken_where_the_family_has_none_and_thoughts_are_off(tmp_path: Path) -> None:
    tokens = with_template(
        tmp_path,
        "{% for m in messages %}{{ m.role[0] + ':' + m.content + eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}a:{% if enable_thinking %}<think>{% endif %}{% endif %}",
    )
    found = tokens.chat([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], answer=True)
    assert found == ([*b"u:x", 256, *b"a:y", 256], 6)


@pytest.mark.parametrize(
    ("template", "messages", "told"),
    [
        pytest.param(None, TALK, "neither .* has a chat template", id="none"),
        pytest.param("{{ raise_exception('no system') }}", TALK, "messages of system, user: no system", id="it refuses"),
        pytest.param("{{ messages | length }}", TALK, "does not go on", id="no beginning"),
        pytest.param("{{ messages[0].content }}", TALK[:2], "ends with a message of the assistant", id="no answer"),
        pytest.param(
            "{{ messages[0].content | replace('<mask>', 'x') }}", [{"role": "user", "content": "<mask>"}, TALK[2]], "take it out", id="odd"
        ),
    ],
)
def test_a_conversation_that_cannot_be_laid_out_is_refused(template: str | None, messages: Any, told: str, tmp_path: Path) -> None:
    tokens = with_template(tmp_path, template) if template is not None else BYTES
    with pytest.raises(Failure, match=told):
        tokens.chat(messages, answer=True)


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
    (tmp_path / "texts.jsonl").write_text(
        "".join(f'{{"text": "the cat and the hat and the mat {number}"}}\n' for number in range(20)), encoding="utf-8"
    )
    context = run_stage(compiled(tmp_path, BPE), "words", tmp_path)
    tokens = from_folder(context.entry.output("tokenizer"))
    assert context.entry.results() == {"tokens": tokens.size, "rows": 19}
    assert 258 < tokens.size <= 300
    assert len(tokens.encode("the cat")) < len("the cat")
    assert {tokens.mask, *tokens.end} == {0, 1}
    for text in ("the mat", "Ünïcode \U0001f600 <mask>", "", " \n\t "):
        assert tokens.decode(tokens.encode(text)) == text
        assert tokens.mask not in tokens.encode(text)


@pytest.mark.parametrize("word", [Bytes(), Characters()], ids=["bytes", "characters"])
@given(texts=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n"), max_size=30) | st.just("<eos> <mask>")))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_texts_at_once_have_the_ids_of_each_alone(word: Bytes | Characters, texts: list[str], tmp_path: Path) -> None:
    tokens = from_word(word, tmp_path)
    assert tokens.encode_all(texts) == replace(tokens, quick=None).encode_all(texts) == [tokens.encode(text) for text in texts]
