"""Conversations as tokens: a template lays them out, and what somebody wrote in them never becomes a special token."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

from .failure import Failure

Message = Mapping[str, str]
"""`role` and `content`."""
_STANDS_FOR = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Written over the names of special tokens in messages, as many as they have letters, so that places stay where they are."""


class Chat(NamedTuple):
    """A conversation."""

    tokens: list[int]
    prompt: int
    """Leading tokens that ask; the rest is the answer."""


class Turns(NamedTuple):
    """A conversation to learn from."""

    tokens: list[int]
    runs: list[int]
    """Tokens that are given, then those of an answer, and so on: `Sequence.runs`. Empty where there is no answer."""


def chat(fast: PreTrainedTokenizerFast, template: str | None, messages: Sequence[Message], *, answer: bool) -> Chat:
    """With `answer`, the last message is one; without, the tokens end where one is to begin. Raises Failure."""
    if answer:
        if not messages or messages[-1]["role"] != "assistant":
            raise Failure("a conversation to learn from ends with a message of the assistant")
        found = _cut(fast, _known(template), messages, [len(messages) - 1])
        return Chat(found.tokens, found.runs[0])
    question, hidden = _rendered(fast, _known(template), messages, open_end=True)
    tokens = _encoded(fast, question, hidden)
    return Chat(tokens, len(tokens))


def turns(fast: PreTrainedTokenizerFast, template: str | None, messages: Sequence[Message]) -> Turns:
    """Every answer is learned, with what ends it; what comes after the last one is left out. Raises Failure."""
    return _cut(fast, _known(template), messages, [index for index, message in enumerate(messages) if message["role"] == "assistant"])


def _known(template: str | None) -> str:
    if template is None:
        raise Failure("neither the model's family nor its tokenizer has a chat template")
    return template


def _cut(fast: PreTrainedTokenizerFast, template: str, messages: Sequence[Message], answers: list[int]) -> Turns:
    """A conversation cut where its answers begin and end, each of them laid out as the one before, and more."""
    tokens: list[int] = []
    runs: list[int] = []
    before = ""
    for index in answers:
        question, hidden_question = _rendered(fast, template, messages[:index], open_end=True)
        whole, hidden = _rendered(fast, template, messages[: index + 1], open_end=False)
        if not question.startswith(before):
            raise Failure(f"the chat template lays out {before[-80:]!r} in another way when the conversation goes on: it cannot be cut")
        if not whole.startswith(question):
            raise Failure(f"the chat template does not go on from {question[-80:]!r} when the answer is there: it cannot be learned from")
        # The answer is encoded apart: in sampling, too, it begins where the question's tokens end.
        given = _encoded(fast, question[len(before) :], hidden_question[len(before) :])
        answer = _encoded(fast, whole[len(question) :], hidden[len(question) :])
        tokens += [*given, *answer]
        runs += [len(given), len(answer)]
        before = whole
    return Turns(tokens, runs)


class Opened(NamedTuple):
    """A conversation in which the next to speak is the assistant."""

    text: str
    tokens: list[int]


def opened(fast: PreTrainedTokenizerFast, template: str | None, messages: Sequence[Message]) -> Opened:
    """A conversation to be answered; where its last message is of the assistant, the answer goes on from that. Raises Failure."""
    if template is None:
        raise Failure("neither the model's family nor its tokenizer has a chat template")
    begun = bool(messages) and messages[-1]["role"] == "assistant"
    text, hidden = _rendered(fast, template, messages, open_end=not begun, go_on=begun)
    return Opened(text, _encoded(fast, text, hidden))


def _rendered(
    fast: PreTrainedTokenizerFast, template: str, messages: Sequence[Message], *, open_end: bool, go_on: bool = False
) -> tuple[str, str]:
    """The text of a conversation, and the same with the names of special tokens in messages written over."""
    names = _pattern(_specials(fast))
    clean = [{**message, "content": names.sub(lambda found: _STANDS_FOR * len(found[0]), message["content"])} for message in messages]
    text = _filled(fast, template, list(messages), open_end, go_on)
    named = any(there["content"] != message["content"] for there, message in zip(clean, messages, strict=True))
    hidden = _filled(fast, template, clean, open_end, go_on) if named else text
    if len(text) != len(hidden):
        raise Failure("a message names a special token, and the chat template makes something else of it: take it out of the data")
    return text, hidden


def _filled(fast: PreTrainedTokenizerFast, template: str, messages: list[Any], open_end: bool, go_on: bool) -> str:
    try:
        found: str = fast.apply_chat_template(
            messages,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=open_end,
            continue_final_message=go_on,
            enable_thinking=False,  # Qwen3 would leave room for thoughts; a template that does not know the word ignores it
        )
    except (TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise Failure(f"the chat template cannot be filled in with messages of {roles}: {error}") from None
    return found


def _specials(fast: PreTrainedTokenizerFast) -> tuple[tuple[str, int], ...]:
    return tuple((token.content, number) for number, token in fast.added_tokens_decoder.items() if token.special and token.content)


@lru_cache(maxsize=8)
def _pattern(specials: tuple[tuple[str, int], ...]) -> "re.Pattern[str]":
    """Any of their names, the longest that fits; of none it matches nothing."""
    names = sorted((name for name, _ in specials), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) if names else r"(?!)")


def _encoded(fast: PreTrainedTokenizerFast, text: str, hidden: str) -> list[int]:
    """Special tokens where the template wrote them, and between them text that is only text."""
    specials, backend = _specials(fast), fast.backend_tokenizer
    numbers, out, start = dict(specials), list[int](), 0
    backend.encode_special_tokens = True

    def plain(stop: int) -> None:
        if start < stop:
            out.extend(backend.encode(text[start:stop], add_special_tokens=False).ids)

    for found in _pattern(specials).finditer(hidden):
        plain(found.start())
        out.append(numbers[found[0]])
        start = found.end()
    plain(len(text))
    return out
