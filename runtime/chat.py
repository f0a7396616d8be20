"""Conversations as tokens: a template lays them out, and what somebody wrote in them never becomes a special token."""

from collections.abc import Mapping, Sequence
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


def chat(fast: PreTrainedTokenizerFast, template: str | None, messages: Sequence[Message], *, answer: bool) -> Chat:
    """With `answer`, the last message is one; without, the tokens end where one is to begin. Raises Failure."""
    if template is None:
        raise Failure("neither the model's family nor its tokenizer has a chat template")
    asked = messages[:-1] if answer else messages
    if answer and (not messages or messages[-1]["role"] != "assistant"):
        raise Failure("a conversation to learn from ends with a message of the assistant")
    question, hidden = _rendered(fast, template, asked, open_end=True)
    tokens = _encoded(fast, question, hidden)
    if not answer:
        return Chat(tokens, len(tokens))
    whole, hidden_whole = _rendered(fast, template, messages, open_end=False)
    if not whole.startswith(question):
        raise Failure(f"the chat template does not go on from {question[-80:]!r} when the answer is there: it cannot be learned from")
    # The answer is encoded apart: in sampling, too, it begins where the question's tokens end.
    return Chat([*tokens, *_encoded(fast, whole[len(question) :], hidden_whole[len(question) :])], len(tokens))


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
    names = sorted(_specials(fast), key=len, reverse=True)

    def cleaned(text: str) -> str:
        for name in names:
            text = text.replace(name, _STANDS_FOR * len(name))
        return text

    clean = [{**message, "content": cleaned(message["content"])} for message in messages]
    text, hidden = (_filled(fast, template, list(found), open_end, go_on) for found in (messages, clean))
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


def _specials(fast: PreTrainedTokenizerFast) -> dict[str, int]:
    return {token.content: number for number, token in fast.added_tokens_decoder.items() if token.special}


def _encoded(fast: PreTrainedTokenizerFast, text: str, hidden: str) -> list[int]:
    """Special tokens where the template wrote them, and between them text that is only text."""
    specials, backend = _specials(fast), fast.backend_tokenizer
    out: list[int] = []
    start = place = 0

    def plain(stop: int) -> None:
        if start < stop:
            out.extend(backend.encode(text[start:stop], add_special_tokens=False).ids)

    by_length = sorted(specials, key=len, reverse=True)
    backend.encode_special_tokens = True
    while place < len(hidden):
        name = next((name for name in by_length if hidden.startswith(name, place)), None)
        if name is None:
            place += 1
            continue
        plain(place)
        out.append(specials[name])
        start = place = place + len(name)
    plain(len(text))
    return out
