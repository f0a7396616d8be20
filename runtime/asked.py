"""What lm-eval asks, as tokens: texts to score, windows of a long text, prompts to answer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from .canvas import Request
from .chat import Message, opened
from .failure import Failure
from .gen_kwargs import Wanted
from .scoring import Text
from .tokenizers import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tokenizer, and the places that a model has for what it is asked."""

    tokens: Tokens
    max_length: int
    append_end: bool = False
    """Whether the token that ends a text stands behind what is scored."""
    _chats: dict[str, list[int]] = field(default_factory=dict)
    """Conversations by their text: their tokens are made with them, since text that names a special token is no such token."""

    def chat(self, messages: Sequence[Message]) -> str:
        """The text of a conversation to be answered."""
        found = opened(self.tokens.fast, self.tokens.template, messages)
        self._chats[found.text] = found.tokens
        return found.text

    def scored(self, context: str, continuation: str, doc: Mapping[str, Any]) -> Text:
        """A continuation to score. Its noise hangs on the question alone, so that the choices of one share their masks."""
        given, whole = self._pair(context, continuation)
        tail = self.tokens.end if self.append_end else ()
        whole = [*whole, *tail]
        extra = max(0, len(whole) - self.max_length)
        if extra > given:
            raise Failure(f"an answer of {len(whole) - given} tokens is longer than the model's {self.max_length}")
        identity = identity_of(json.dumps(doc, sort_keys=True, default=str) if doc else context)
        return Text(tokens=tuple(whole[extra:]), id=identity, prompt=given - extra, tail=len(tail))

    def _pair(self, context: str, continuation: str) -> tuple[int, list[int]]:
        """How many tokens are given, and all tokens."""
        tokens = self.tokens
        if context in self._chats:
            # As in training, an answer begins where the tokens of the question end.
            given = self._chats[context]
            return len(given), [*given, *tokens.encode(continuation)]
        # A space belongs to the word after it: tokenisers that join the two would else never see it so in training.
        stripped = context.rstrip()
        before = [*tokens.begin, *tokens.encode(stripped)]
        whole = [*tokens.begin, *tokens.encode(context + continuation)]
        # A token that holds the end of the context and the beginning of the continuation is scored: else that beginning never were.
        same = next(
            (place for place, pair in enumerate(zip(before, whole, strict=False)) if pair[0] != pair[1]), min(len(before), len(whole))
        )
        return same, whole

    def windows(self, text: str) -> list[Text]:
        """A text in windows of the length that the model was trained on; every token is scored in one of them."""
        tokens = self.tokens
        ids = tokens.encode(text)
        step = self.max_length - len(tokens.begin)
        return [
            Text(tokens=(*tokens.begin, *ids[start : start + step]), id=identity_of(text, str(start)), prompt=len(tokens.begin))
            for start in range(0, len(ids), step)
        ]

    def prompt(self, context: str, wanted: Wanted, repeat: int) -> Request:
        """A canvas: the context with open places behind it, or the context whose own masks are open. Each repeat draws for itself."""
        tokens = self.tokens
        chat = self._chats.get(context)
        ids = [*tokens.begin, *tokens.encode(context, specials=wanted.infill)] if chat is None else list(chat)
        # A canvas ends as the rows that the model was trained on do, or it would write the end of the text into the last place.
        ids = [*ids, *tokens.end] if wanted.infill else ids
        tail = [] if wanted.infill else [tokens.mask] * wanted.length
        room = self.max_length - len(tail)
        if room < 1 or (wanted.infill and len(ids) > room):
            what = f"a canvas of {len(ids)} tokens does" if wanted.infill else f"a prompt with an answer of {len(tail)} tokens does"
            raise Failure(f"{what} not fit the model's {self.max_length}")
        ids = ids[-room:]
        identity = identity_of(context) if not repeat else identity_of(context, str(repeat))
        return Request(
            tokens=[*ids, *tail],
            id=identity,
            prompt=0 if wanted.infill else len(ids),
            ends=not wanted.infill,
            until=() if wanted.infill else wanted.until,
        )


def identity_of(*texts: str) -> int:
    """63 bits of a text: the same question has the same noise in any batch, order or task."""
    joined = "\x1f".join(texts).encode()
    return int.from_bytes(hashlib.sha256(joined).digest()[:8], "big") >> 1


def repeats_of(requests: Sequence[Instance]) -> list[int]:
    """For each request how often the same question stood before it: lm-eval's `repeats` ask for so many different answers."""
    seen: dict[tuple[Any, ...], int] = {}
    found = []
    for request in requests:
        key = (request.task_name, request.doc_id, request.idx, request.args[0])
        found.append(seen.get(key, 0))
        seen[key] = found[-1] + 1
    return found
