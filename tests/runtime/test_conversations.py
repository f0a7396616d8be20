"""Conversations to learn from, and padding that is learned."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm_run.runtime.encode import Encoder, clipped
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.sequence import learned_of
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

TOKENS = from_word(Bytes(), Path())
EOS = TOKENS.end[0]
TAGS = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<eos>{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"


def encoded(row: dict[str, object], **fields: object) -> tuple[list[int], list[int]]:
    data = Data(sources=(Source(path="./x.jsonl"),), **{"max_length": 64, "chat_template": TAGS, **fields})  # type: ignore[arg-type]
    found = Encoder(data=data, tokens=TOKENS, template=TAGS).encoded([row])
    return (found.tokens[0], found.runs[0]) if found.tokens else ([], [])


def said(*turns: str) -> dict[str, object]:
    roles = {"u": "user", "a": "assistant", "s": "system"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[1:]} for turn in turns]}


def learned(row: dict[str, object], **fields: object) -> str:
    """The text with what is learned in capitals, ends of texts as dots."""
    tokens, runs = encoded(row, **fields)
    letters = ["." if token == EOS else chr(token) for token in tokens]
    return "".join(letter.upper() if is_learned else letter for letter, is_learned in zip(letters, learned_of(runs), strict=True))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (said("uhi", "ayes"), "<u>hi.<a>YES."),
        (said("sbe", "uhi", "ayes", "umore", "aok"), "<s>be.<u>hi.<a>YES.<u>more.<a>OK."),
        (said("uhi", "ayes", "ubye"), "<u>hi.<a>YES."),
        (said("uhi"), ""),
        ({"prompt": "hi", "response": "yes"}, "<u>hi.<a>YES."),
    ],
)
def test_answers_are_learned_with_what_ends_them_and_nothing_else(row: dict[str, object], expected: str) -> None:
    assert learned(row) == expected


def test_the_end_of_an_answer_is_learned_as_a_token_and_its_name_in_a_message_is_text() -> None:
    tokens, runs = encoded(said("u<eos>", "ayes"))
    assert tokens.count(EOS) == 2 and tokens[-1] == EOS and runs == [len("<u><eos>") + 1 + len("<a>"), 4]


def test_pairs_stay_plain_unless_they_are_to_be_a_chat() -> None:
    assert learned({"prompt": "hi", "response": "yes"}, chat_template=False) == "hiYES."


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for m in messages %}{{ loop.length }}{{ m.content }}{% endfor %}", "does not go on from"),
        (
            "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
            "lays out .* in another way",
        ),
    ],
)
def test_a_template_that_cannot_be_cut_into_turns_is_refused(template: str, says: str) -> None:
    with pytest.raises(Failure, match=says):
        TOKENS.turns(said("uhi", "ayes", "umore", "aok")["messages"], template)  # type: ignore[arg-type]


def test_a_conversation_that_is_cut_keeps_its_runs() -> None:
    whole = "<u>hi.<a>YES.<u>more.<a>OK."
    for length in range(10, len(whole)):
        assert learned(said("uhi", "ayes", "umore", "aok"), max_length=length) == whole[:length]
    assert learned(said("uhi", "ayes"), max_length=9) == "", "nothing is learned of a question alone"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"padding": "train_eos", "max_length": 12}, "hiYES......."),
        ({"padding": "train_eos", "padding_multiple": 4}, "hiYES..."),
        ({"padding": "train_eos", "padding_multiple": 3}, "hiYES."),
        ({"padding": "train_eos", "padding_multiple": 5, "max_length": 8}, "hiYES..."),
        ({"padding": "mask"}, "hiYES."),
    ],
)
def test_padding_with_ends_of_texts_is_learned(fields: dict[str, object], expected: str) -> None:
    assert learned({"prompt": "hi", "response": "yes"}, chat_template=False, **fields) == expected


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 20))
def test_runs_that_are_cut_say_the_same_of_what_is_left(runs: list[int], length: int) -> None:
    assert learned_of(clipped(runs, length)) == learned_of(runs)[:length]
